"""The real server with a disk, sockets and limits that fail: each failure has the outcome that is documented, and no write
that was acknowledged is lost."""

import contextlib
import errno
import itertools
import os
import re
import shutil
import signal
import time

import pytest

import faults
import harness
from harness import APP, JSON


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store to copy; nobody has it open."""
    return harness.Store(tmp_path_factory.mktemp("made") / "store")


class Case:
    """A copy of the store, and a way to start a server on it whose calls fail."""

    def __init__(self, made, path, has_heap=False):
        self.data = path / "store"
        shutil.copytree(made.data, self.data)
        self.headers = made.alice.headers()
        self.faults = faults.Faults(path / "faults", has_heap)

    def serving(self, *options):
        return harness.serving(self.data, *options, wrapper=self.faults.wrapper())

    def server(self):
        return harness.Server(self.data, wrapper=self.faults.wrapper())

    def create(self, http):
        return http("POST", "/app", self.headers + JSON, APP)

    def ids(self, http):
        return {app["id"] for app in http("GET", "/app", self.headers).json()["data"]}

    def assert_kept(self, ids):
        """All that was acknowledged is there when the store is opened again, and the store is sound."""
        with harness.serving(self.data) as server:
            http = harness.Http1(server)
            assert ids <= self.ids(http)
            assert self.create(http).status == 201
            http.close()
        assert harness.tool("verify", "--data", self.data).returncode == 0


@pytest.fixture
def case(made, tmp_path):
    return Case(made, tmp_path)


def test_failed_sync(case):
    """A sync that fails is not tried again: its caller is told that the outcome is unknown, no update is taken after it,
    reads go on."""
    with case.serving() as server:
        http = harness.Http1(server)
        kept = case.create(http).json()["data"]["id"]
        case.faults.arm(1, ["SYNC"], errno.EIO)
        answer = case.create(http)
        assert (answer.status, case.faults.fired()) == (503, 1)
        assert "not known whether the change was saved" in answer.error()
        server.wait_for("error store-latched .*COMMIT_UNKNOWN")
        for _ in range(3):
            assert case.create(http).status == 503
            assert http("DELETE", f"/app/{kept}", case.headers).status == 503
            assert http("GET", f"/app/{kept}", case.headers).status == 200
        http.close()
    assert case.faults.count() == 1  # no sync but the one, to the end
    case.assert_kept({kept})


def test_failed_writes(made, tmp_path):
    """Each write of a commit fails in turn. One of a page, or the sync: as above. The last one, which puts the commit in
    force: LMDB gives no snapshot any more, and the server ends by itself with exit code 1."""
    outcomes = []
    for n in range(1, 30):
        path = tmp_path / str(n)
        path.mkdir()
        case = Case(made, path)
        server = case.server()
        http = harness.Http1(server)
        kept = case.create(http).json()["data"]["id"]
        case.faults.arm(n, ["PWRITE", "WRITE"], errno.EIO)
        outcome = "as if nothing were"
        try:
            answer = case.create(http)
            if answer.status == 201:
                kept = answer.json()["data"]["id"]
            else:
                assert answer.status == 503, answer
                server.wait_for("error store-latched ")
                outcome = "latched"
            if http("GET", f"/app/{kept}", case.headers).status != 200:
                outcome = "ended"
        except (ConnectionError, harness.http.client.HTTPException):
            # a write to the socket was hit, or the server ended
            outcome = "cut off"
        http.close()
        fired = case.faults.disarm()
        if outcome == "cut off" and not reads_go_on(server, kept, case.headers):
            outcome = "ended"
        if outcome == "ended":
            server.child.wait(timeout=harness.BOUND_SECONDS)
            assert server.child.returncode == 1, "".join(server.stderr)
            assert "the store cannot be read" in "".join(server.stderr)
        else:
            server.stop()
        case.assert_kept({kept})
        outcomes.append(outcome)
        if not fired:
            break
    faults.injected("commit", len(outcomes) - 1)
    assert outcomes[-1] == "as if nothing were"
    assert "latched" in outcomes and "ended" in outcomes


def reads_go_on(server, app, headers):
    """Asked over a connection of its own. A server that cannot read its store says so, closes, or is gone."""
    try:
        with contextlib.closing(harness.Http1(server)) as http:
            return http("GET", f"/app/{app}", headers).status == 200
    except (OSError, harness.http.client.HTTPException):
        return False


START = [
    (["READ", "PREAD"], errno.EIO),
    (["OPEN"], errno.EMFILE),
    (["OPEN", "MAKE"], errno.EACCES),
    (["WRITE", "PWRITE", "SYNC", "TRUNCATE", "ALLOCATE"], errno.EIO),
    (["WRITE", "PWRITE", "SYNC", "TRUNCATE", "ALLOCATE", "OPEN"], errno.ENOSPC),
    (["MAP"], errno.ENOMEM),
    (["LOCK"], errno.ENOLCK),
    (["BIND"], errno.EADDRINUSE),
    (["THREAD"], errno.EAGAIN),
]


@pytest.mark.parametrize("kinds, error", START, ids=lambda value: faults.name(value) if isinstance(value, int) else "")
def test_start(case, kinds, error):
    """The server starts and serves all the same, or ends with exit code 1 and a sentence that says why."""
    injected = 0
    for n in itertools.count(1):
        case.faults.arm(n, kinds, error)
        server, code, log = start(case)
        fired = case.faults.disarm()
        if server is not None:
            http = harness.Http1(server)
            assert http("GET", "/app", case.headers).status == 200
            http.close()
            server.stop()
        else:
            assert fired and code == 1 and "allod serve: " in log, f"{faults.name(error)} at {n}: {code} {log}"
        injected += fired
        if not fired:
            break
    assert injected > 0
    faults.injected("start", injected)
    case.assert_kept(set())


@pytest.mark.parametrize("limit", [*range(4, 20), 95])
def test_few_descriptors(case, limit):
    """With too few descriptors the server does not start, says which limit it was and ends with exit code 1."""
    done = harness.subprocess.run(["prlimit", f"--nofile={limit}:{limit}", harness.ALLOD, "serve", "--data", case.data,
                                   *harness.SERVE_OPTIONS, *harness.MAP_SIZE], capture_output=True, text=True,
                                  timeout=harness.BOUND_SECONDS)
    assert done.returncode == 1
    assert re.search("Too many open files|Only [0-9]+ files may be open", done.stderr), done.stderr


def start(case):
    """A server that listens; or None, its exit code and what it said."""
    with pytest.MonkeyPatch.context() as patch:
        made = []
        popen = harness.subprocess.Popen
        patch.setattr(harness.subprocess, "Popen", lambda *words, **more: made.append(popen(*words, **more)) or made[0])
        try:
            return case.server(), None, ""
        except AssertionError as failure:
            return None, made[0].wait(timeout=harness.BOUND_SECONDS), str(failure)


# What a socket, a listener or the disk may do during a call.
CALL = [
    (["ACCEPT"], errno.EINTR),
    (["ACCEPT"], errno.ECONNABORTED),
    (["ACCEPT"], errno.EMFILE),
    (["ACCEPT"], errno.ENFILE),
    (["ACCEPT"], errno.ENOMEM),
    (["READ"], errno.EINTR),
    (["READ"], errno.ECONNRESET),
    (["READ"], errno.EIO),
    (["WRITE"], errno.EINTR),
    (["WRITE"], errno.EPIPE),
    (["WRITE"], errno.ECONNRESET),
    (["WRITE"], faults.HALF),
    (["POLL"], errno.EINTR),
]


@pytest.mark.parametrize("kinds, error", CALL, ids=lambda value: faults.name(value) if isinstance(value, int) else "")
def test_call(case, kinds, error):
    """A call over a new connection is answered or cut off; the server goes on, and what it acknowledged is there."""
    kept = set()
    injected = 0
    with case.serving() as server:
        for n in itertools.count(1):
            http = harness.Http1(server)
            case.faults.arm(n, kinds, error)
            try:
                answer = case.create(http)
                assert answer.status in (201, 503), answer
                if answer.status == 201:
                    kept.add(answer.json()["data"]["id"])
                    assert http("GET", "/app", case.headers).status == 200
            except (ConnectionError, harness.http.client.HTTPException):
                assert error not in (errno.EINTR, faults.HALF), "these are nobody's fault"
            http.close()
            fired = case.faults.disarm()
            http = harness.Http1(server)
            assert kept <= case.ids(http)
            http.close()
            injected += fired
            if not fired:
                break
    assert injected > 0
    faults.injected("call", injected)
    case.assert_kept(kept)


def test_lasting_accept(case):
    """While no connection can be accepted those that are there go on; afterwards new ones are, also those that waited."""
    with case.serving() as server:
        http = harness.Http1(server)
        kept = case.create(http).json()["data"]["id"]
        case.faults.arm(1, ["ACCEPT"], errno.EMFILE, is_lasting=True)
        waiting = harness.Raw(server)
        waiting.send(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
        bound = time.monotonic() + harness.BOUND_SECONDS
        while case.faults.fired() == 0:
            assert time.monotonic() < bound
            assert http("GET", f"/app/{kept}", case.headers).status == 200
        before = case.faults.fired()
        for _ in range(20):
            assert http("GET", f"/app/{kept}", case.headers).status == 200
        assert case.faults.fired() < before + 1000, "it spins"
        case.faults.disarm()
        assert waiting.answer().status == 404
        waiting.socket.close()
        http.close()


SHUTDOWN = [
    (["PWRITE", "WRITE", "SYNC", "TRUNCATE"], errno.EIO),
    (["PWRITE", "WRITE", "SYNC", "TRUNCATE"], errno.ENOSPC),
    (["POLL", "READ"], errno.EINTR),
    (["ACCEPT"], errno.ECONNABORTED),
]


@pytest.mark.parametrize("kinds, error", SHUTDOWN, ids=lambda value: faults.name(value) if isinstance(value, int) else "")
def test_shutdown(case, kinds, error):
    """Ending after SIGTERM, whatever fails: exit code 0, and what was acknowledged is there."""
    kept = set()
    injected = 0
    for n in itertools.count(1):
        server = case.server()
        http = harness.Http1(server)
        kept.add(case.create(http).json()["data"]["id"])
        http.close()
        case.faults.arm(n, kinds, error)
        server.stop()
        fired = case.faults.disarm()
        injected += fired
        if not fired:
            break
    assert injected > 0
    faults.injected("shutdown", injected)
    case.assert_kept(kept)


# ---- Memory ----

# libuv ends the process where it cannot grow what it cannot do without. That is what running out of memory ends in anyway;
# nothing that was acknowledged is lost.
LIBUV_ABORTS = -6


def some(count):
    """Of the allocations to fail: the first and the last, and some between, most of which take the methods' descriptors
    apart; or all."""
    if "ALLOD_FAULTS_ALL" in os.environ:
        return range(1, count + 1)
    return [*range(1, 36), *range(36, count - 36, 251), *range(max(36, count - 36), count + 1)]


@pytest.fixture
def starved(made, tmp_path):
    if harness.is_sanitized():
        pytest.skip("a sanitizer has a heap of its own")
    return Case(made, tmp_path, has_heap=True)


def test_no_memory_to_start(starved):
    """Whichever allocation fails, the server serves all the same, or ends with a sentence."""
    starved.faults.arm(0, ["HEAP"], errno.ENOMEM)
    starved.server().stop()
    numbers = some(starved.faults.count())
    for n in numbers:
        starved.faults.arm(n, ["HEAP"], errno.ENOMEM)
        server, code, log = start(starved)
        starved.faults.disarm()
        if server is not None:
            server.stop()
        elif code != LIBUV_ABORTS:
            assert code == 1 and re.search("emory|operating system|thread", log), f"{n}: {code} {log}"
    faults.injected("start, memory", len(numbers))
    starved.assert_kept(set())


def test_no_memory_to_serve(starved):
    """Whichever allocation of a call over a new connection, or of the end, fails: it is answered or cut off, and what was
    acknowledged is there."""
    kept = set()
    injected = 0
    for ends in (False, True):
        for n in itertools.count(1):
            server = starved.server()
            http = harness.Http1(server)
            starved.faults.arm(n, ["HEAP"], errno.ENOMEM)
            if not ends:
                create_or_break(starved, http, kept)
                fired = starved.faults.disarm()
            http.close()
            server.child.send_signal(signal.SIGTERM)
            code = server.child.wait(timeout=harness.BOUND_SECONDS)
            assert code in (0, LIBUV_ABORTS), f"{n}: {code} {''.join(server.stderr)}"
            if ends:
                fired = starved.faults.disarm()
            injected += fired
            if not fired:
                break
    faults.injected("call and end, memory", injected)
    assert injected > 0
    starved.assert_kept(kept)


def create_or_break(case, http, kept):
    try:
        answer = case.create(http)
    except (ConnectionError, harness.http.client.HTTPException):
        return
    assert answer.status in (201, 503), answer
    if answer.status == 201:
        kept.add(answer.json()["data"]["id"])
