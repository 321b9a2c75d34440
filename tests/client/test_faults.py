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

import grpc
import pytest

import faults
import harness
import rpcs
from harness import APP, JSON


# What libuv cannot be without, and ends the process over.
ENDED = "allod serve: aborted: memory or another thing that the server cannot be without is not to be had"
ABORTED = -signal.SIGABRT


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
        self.alice = made.alice.id
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
            return http("GET", f"/app/{app}", headers).status < 500
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
    (["CREATE"], errno.EMFILE),
    (["WATCH"], errno.ENOSPC),
]


@pytest.mark.parametrize("kinds, error", START, ids=lambda value: faults.name(value) if isinstance(value, int) else "")
def test_start(case, kinds, error):
    """The server starts and serves all the same, or says why it cannot: it ends with exit code 1, or aborts where libuv does."""
    injected = 0
    for n in itertools.count(1):
        case.faults.arm(n, kinds, error)
        server, code, log = start(case)
        fired = case.faults.disarm()
        if server is not None:
            http = harness.Http1(server)
            try:
                assert http("GET", "/app", case.headers).status == 200
                http.close()
                server.stop()
            except (AssertionError, ConnectionError, harness.http.client.HTTPException):
                # a loop begins to wait only after the server has said that it listens
                assert fired and server.child.wait(timeout=harness.BOUND_SECONDS) == ABORTED and ENDED in "".join(server.stderr)
        else:
            assert fired and (code == 1 or code == ABORTED and ENDED in log) and "allod serve: " in log, f"{faults.name(error)} at {n}: {code} {log}"
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
    (["WATCH"], errno.ENOSPC),
    (["WATCH"], errno.ENOMEM),
]


@pytest.mark.parametrize("kinds, error", CALL, ids=lambda value: faults.name(value) if isinstance(value, int) else "")
def test_call(case, kinds, error):
    """A call over a new connection is answered or cut off; the server goes on, and what it acknowledged is there."""
    kept = set()
    injected = 0
    with case.serving("--workers", "2") as server:
        both = [harness.Http1(server) for _ in range(2)]  # so that both loops have begun to wait
        assert [http("GET", "/app", case.headers).status for http in both] == [200, 200]
        for http in both:
            http.close()
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


@pytest.mark.parametrize("kinds", [["ACCEPT"], ["ACCEPT", "WATCH"]], ids="-".join)
def test_lasting_accept(case, kinds):
    """While no connection can be accepted those that are there go on; afterwards new ones are, also those that waited."""
    with case.serving() as server:
        http = harness.Http1(server)
        kept = case.create(http).json()["data"]["id"]
        assert http("GET", f"/app/{kept}", case.headers).status == 200  # and by now it waits for the next request
        case.faults.arm(1, kinds, errno.ENOMEM, is_lasting=True)
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


# ---- Streaming methods ----

class Streams:
    """Each by its name, from a client in another process; False: it failed, as it may."""

    def __init__(self, case, path):
        self.case = case
        self.dump = path / "dump"
        self.out = path / "out"
        assert harness.tool("dump", "--data", case.data, "-o", self.dump).returncode == 0

    def run(self, name):
        return getattr(self, name)()

    def run_again(self, name):
        """It goes well; maybe not at once, while the last one's thread ends or until a full disk was looked at again."""
        bound = time.monotonic() + harness.BOUND_SECONDS
        while not self.run(name):
            assert time.monotonic() < bound

    def tool(self, *words):
        done = harness.tool(*words)
        assert done.returncode in (0, 1), done.stderr  # and never 3, for there is nothing wrong with the store
        assert done.returncode == 0 or done.stderr.startswith("allod "), done.stderr
        return done.returncode == 0

    def dumping(self):
        """There is a whole dump, or none."""
        if not self.tool("dump", "--data", self.case.data, "-o", self.out):
            assert not self.out.exists()
            return False
        assert harness.tool("verify", self.out).returncode == 0
        self.out.unlink()
        return True

    def verifying(self):
        return self.tool("verify", "--data", self.case.data)

    def restoring(self):
        """What is said to be there is."""
        new = harness.new_id()
        if not self.tool("restore", self.dump, "--data", self.case.data, "--owner", f"u:{self.case.alice}", "--as", f"u:{new}"):
            return False
        self.case.faults.disarm()
        assert harness.tool("user", "show", new, "--data", self.case.data).returncode == 0
        return True

    def over_grpc(self, call):
        with grpc.insecure_channel(f"unix:{self.case.data}/admin.sock", options=[
                ("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]) as channel:
            try:
                return call(channel)
            except grpc.RpcError as error:
                assert error.code().name in ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "CANCELLED"), error
                return False

    def watching(self):
        def call(channel):
            watch = channel.unary_stream("/grpc.health.v1.Health/Watch", rpcs.HealthCheckRequest.SerializeToString,
                                         rpcs.HealthCheckResponse.FromString)
            stream = watch(rpcs.HealthCheckRequest(), timeout=harness.BOUND_SECONDS)
            status = next(stream).status
            stream.cancel()
            return status == 1
        return self.over_grpc(call)

    def reflecting(self):
        name = "grpc.reflection.v1.ServerReflection"
        request = rpcs.message(f"{name}Request")

        def call(channel):
            reflect = channel.stream_stream(f"/{name}/ServerReflectionInfo", request.SerializeToString,
                                            rpcs.message(f"{name}Response").FromString)
            (answer,) = reflect(iter([request(file_containing_symbol="allod.v1.App")]), timeout=harness.BOUND_SECONDS)
            return answer.HasField("file_descriptor_response")
        return self.over_grpc(call)


STREAMS = ["dumping", "verifying", "restoring", "watching", "reflecting"]

STREAM = [
    (["OPEN"], errno.EMFILE),
    (["OPEN"], errno.ENOSPC),
    (["READ"], errno.EIO),
    (["READ"], errno.EINTR),
    (["WRITE"], errno.EIO),
    (["WRITE"], errno.ENOSPC),
    (["WRITE"], faults.HALF),
    (["THREAD"], errno.EAGAIN),
    (["WATCH"], errno.ENOSPC),
]


@pytest.mark.parametrize("name", STREAMS)
def test_stream(case, tmp_path, name):
    """Whichever system call fails behind a stream, it ends with an error that says so or is as it is else; the server goes
    on, and the next stream is as it is else. A restore's writes are the store's too, which may take no more of them."""
    server = case.server()
    try:
        streams = Streams(case, tmp_path)
        assert streams.run(name)
        for kinds, error in STREAM:
            for n in itertools.count(1):
                case.faults.arm(n, kinds, error)
                went_well = streams.run(name)
                fired = case.faults.fired()
                case.faults.disarm()
                faults.injected("streams", fired)
                if not went_well and name == "restoring" and kinds == ["WRITE"]:
                    end_latched(server)
                    server = case.server()
                else:
                    assert went_well or error not in (errno.EINTR, faults.HALF), "these are nobody's fault"
                streams.run_again(name)
                if not fired:
                    break
        descriptors = os.listdir(f"/proc/{server.child.pid}/fd")
        assert len(descriptors) < 40, descriptors
        server.stop()
    finally:
        server.kill()
    case.assert_kept(set())


def end_latched(server):
    """Well, or it has done so by itself because LMDB gives no more snapshots."""
    if reads_go_on(server, "", ()):
        server.stop()
    else:
        server.child.terminate()
        assert server.child.wait(timeout=harness.BOUND_SECONDS) in (0, 1)


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
        else:
            assert code in (1, ABORTED) and re.search("allod serve: .*([Mm]emory|operating system|thread)", log), f"{n}: {code} {log}"
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
            assert code == 0 or code == ABORTED and ENDED in "".join(server.stderr), f"{n}: {code} {''.join(server.stderr)}"
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


@pytest.mark.parametrize("name", STREAMS)
def test_no_memory_for_a_stream(starved, tmp_path, name):
    """Whichever allocation fails behind a stream, over a new connection: it ends with an error or is as it is else; the
    server goes on, or says why it cannot."""
    server = starved.server()
    try:
        streams = Streams(starved, tmp_path)
        injected = 0
        for n in itertools.count(1, 1 if "ALLOD_FAULTS_ALL" in os.environ else 7):
            starved.faults.arm(n, ["HEAP"], errno.ENOMEM)
            streams.run(name)
            fired = starved.faults.fired()
            starved.faults.disarm()
            injected += fired
            if server.child.poll() is not None or not reads_go_on(server, "", starved.headers):
                assert server.child.wait(timeout=harness.BOUND_SECONDS) == ABORTED and ENDED in "".join(server.stderr)
                server = starved.server()
            if not fired:
                break
            streams.run_again(name)
        assert injected > 0
        faults.injected("streams, memory", injected)
        server.stop()
    finally:
        server.kill()
    starved.assert_kept(set())
