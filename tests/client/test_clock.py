"""The wall clock stepped by hours both ways, under a running server and across its end: times and ids never go back, what
expires does so once, and nothing waits for the clock."""

import datetime
import shutil

import pytest

import faults
import harness
import rpcs
from harness import APP, JSON
from test_tls import House

STEPS = [5, -7, 30, -48, 0]  # hours, from the true time


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    return House(tmp_path_factory.mktemp("clock"))


class Clocked:
    """A server on a copy of the store, and the wall clock that it sees."""

    def __init__(self, store, path):
        self.data = path / "store"
        shutil.copytree(store.data, self.data)
        self.headers = store.alice.headers()
        self.faults = faults.Faults(path / "faults")
        self.at(0)

    def serving(self, *options):
        return harness.serving(self.data, *options, wrapper=self.faults.wrapper())

    def at(self, hours):
        self.faults.step_clock(hours)


@pytest.fixture
def clocked(house, tmp_path):
    return Clocked(house.store, tmp_path)


class Times:
    """Ids and times of all that was made, which rise."""

    def __init__(self):
        self.id = ""
        self.time = ""

    def see(self, identifier, moment):
        moment = moment.replace(" ", "T")
        assert identifier > self.id
        assert moment >= self.time
        self.id, self.time = identifier, moment


def make(http, headers, times):
    """An app, a change of it and a job, each not older than what was before."""
    app = http("POST", "/app", headers + JSON, APP).json()["data"]
    times.see(app["id"], app["created_at"])
    changed = http("PUT", f"/app/{app['id']}", headers + JSON, {"description": "changed"}).json()["data"]
    assert changed["updated_at"] >= times.time
    assert changed["created_at"] == app["created_at"]
    job = http("POST", f"/app/{app['id']}/run_async", headers + JSON, {"input": {}}).json()["job_id"]
    times.see(job, http("GET", f"/app/{app['id']}/job/{job}", headers).json()["data"]["created_at"])
    return app["id"]


def test_steps(clocked):
    """Under a running server, over one connection that is older than the steps; and across restarts."""
    times = Times()
    apps = []
    for _ in range(2):
        with clocked.serving() as server:
            http = harness.Http1(server)
            for hours in STEPS:
                clocked.at(hours)
                apps.append(make(http, clocked.headers, times))
            http.close()
    for hours in (9, -9):  # while no server runs
        clocked.at(hours)
        with clocked.serving() as server:
            http = harness.Http1(server)
            apps.append(make(http, clocked.headers, times))
            listed = [app["id"] for app in http("GET", "/app?page_size=100", clocked.headers).json()["data"]]
            assert listed == apps[::-1]  # newest first
            http.close()
    assert harness.tool("verify", "--data", clocked.data).returncode == 0


def test_page_token(clocked):
    """A page token leads on to the next page whatever the clock does meanwhile."""
    with clocked.serving() as server:
        http = harness.Http1(server)
        for _ in range(3):
            http("POST", "/app", clocked.headers + JSON, APP)
        first = http("GET", "/app?page_size=1", clocked.headers).json()
        for hours in STEPS:
            clocked.at(hours)
            next_page = http("GET", f"/app?page_size=1&page_token={first['next_page_token']}", clocked.headers)
            assert next_page.status == 200
            assert next_page.json()["data"][0]["id"] < first["data"][0]["id"]
        http.close()


def test_key_expires(clocked):
    """A key ends when its time has come, and stays at its end when the clock goes back, also across a restart."""
    with clocked.serving() as server:
        http = harness.Http1(server)
        made = http("POST", "/app", clocked.headers + JSON, APP).json()["data"]["created_at"]
        now = datetime.datetime.fromisoformat(made).replace(tzinfo=datetime.timezone.utc)
        channel = rpcs.channel(server.address)
        expiry = {"seconds": int((now + datetime.timedelta(hours=1000)).timestamp())}
        with channel:
            secret = rpcs.Client(channel, clocked.headers)("CreateKey", name="short", expires_at=expiry).secret
        short = [("x-api-key", secret)]
        assert http("GET", "/app", short).status == 200
        for hours, status in [(-2000, 200), (0, 200), (2000, 403), (0, 403), (-2000, 403)]:
            clocked.at(hours)
            http("POST", "/app", clocked.headers + JSON, APP)
            assert http("GET", "/app", short).status == status, hours
        http.close()
    clocked.at(0)
    with clocked.serving() as server:
        http = harness.Http1(server)
        assert http("GET", "/app", short).status == 403
        http.close()


def test_tickets(clocked, house):
    """Sessions of TLS are resumed while they last by the server's clock; when it is stepped past that, or back, clients
    still get in."""
    context = house.context()
    with clocked.serving(*house.options()) as server:
        with house.connect(server.port, context) as first:
            assert get(first) == 200
            session = first.session
        for hours, is_resumed in [(0, True), (2, False), (-2, None), (1000, False), (0, True)]:
            clocked.at(hours)
            with house.connect(server.port, context, session) as again:
                assert get(again) == 200
                assert is_resumed in (None, again.session_reused), hours


def get(connection):
    connection.sendall(b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = connection.recv(65536)
        assert data, answer
        answer += data
    return 200 if answer.startswith(b"HTTP/1.1 404 ") else answer
