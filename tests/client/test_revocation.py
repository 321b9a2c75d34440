"""A right that was taken back is honoured by no request begun after that was acknowledged, on whichever loop."""

import threading
import time

import pytest

import harness
import rpcs
from harness import JSON, Raw
from rpcs import V1

ROUNDS = 12
CONNECTIONS = 6  # spread over the workers, since each new one goes to the loop with fewest


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A store of its own, served by four loops."""
    store = harness.Store(tmp_path_factory.mktemp("revocation") / "store")
    with harness.serving(store.data, "--workers", "4") as server:
        with rpcs.channel(server.address) as channel:
            yield store, server, channel


class Prober(threading.Thread):
    """Sends one request again and again, and notes when each began and what came of it, until one is refused."""

    def __init__(self, server, request):
        super().__init__(daemon=True)
        self.raw = Raw(server)
        self.request = request
        self.seen = []
        self.is_honoured = threading.Event()

    def run(self):
        end = time.monotonic() + harness.BOUND_SECONDS
        while time.monotonic() < end:
            begin = time.monotonic()
            self.raw.send(self.request)
            status = self.raw.answer().status
            self.seen.append((begin, status))
            if status >= 400:
                break
            self.is_honoured.set()
        self.raw.socket.close()


def assert_holds_at_once(server, request, take_back):
    """Requests of several connections succeed until `take_back` returns, and none that began later does."""
    probers = [Prober(server, request) for _ in range(CONNECTIONS)]
    for prober in probers:
        prober.start()
    for prober in probers:
        assert prober.is_honoured.wait(harness.BOUND_SECONDS)
    take_back()
    acknowledged = time.monotonic()
    for prober in probers:
        prober.join(harness.BOUND_SECONDS)
        assert prober.seen[-1][1] == 403
        assert [status for begin, status in prober.seen if begin > acknowledged and status != 403] == []


def get(path, headers):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()


def post(path, headers, body):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers + JSON)
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def test_key(many):
    store, server, channel = many
    alice = rpcs.Client(channel, store.alice.headers())
    for _ in range(ROUNDS):
        made = alice("CreateKey", name="short-lived")
        assert_holds_at_once(server, get("/app", [("x-api-key", made.secret)]),
                             lambda: alice("RevokeKey", id=made.key.id))


def test_member(many):
    store, server, channel = many
    alice, bob = rpcs.Client(channel, store.alice.headers()), rpcs.Client(channel, store.bob.headers())
    for _ in range(ROUNDS):
        assert_holds_at_once(server, get("/app", store.bob.headers(store.team)),
                             lambda: alice("RemoveMember", team_id=store.team, user_id=store.bob.id))
        alice("InviteMember", team_id=store.team, user_id=store.bob.id, role=V1.ROLE_MEMBER)
        bob("AcceptInvitation", team_id=store.team)


def test_setting(many):
    """Of what a MEMBER may do, for calls that the writer runs."""
    store, server, channel = many
    alice, bob = rpcs.Client(channel, store.alice.headers()), rpcs.Client(channel, store.bob.headers(store.team))
    app = bob("CreateApp", app=rpcs.app(name="shared"))

    def set_run(value):
        alice("UpdateTeam", team=V1.Team(id=store.team, settings=V1.TeamSettings(member_can_run=value)),
              update_mask={"paths": ["settings.member_can_run"]})

    request = post(f"/app/{app.id}/run_async", store.bob.headers(store.team), '{"input":{}}')
    for _ in range(ROUNDS):
        set_run(True)
        assert_holds_at_once(server, request, lambda: set_run(False))
