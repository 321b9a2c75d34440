"""allod restore --owner: one user or team out of a dump into a store that is served, and into its files."""

import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import termios
import threading
import time

import grpc
import pytest

import harness
import rpcs
from rpcs import V1

KILLS = int(os.environ.get("ALLOD_RESTORE_KILLS", "6"))
SEED = int(os.environ.get("ALLOD_SEED", random.SystemRandom().randrange(1 << 32)))


def tool(*words, code=0, **options):
    answer = subprocess.run([harness.ALLOD, *map(str, words)], capture_output=True, timeout=harness.BOUND_SECONDS, **options)
    assert answer.returncode == code, answer.stderr.decode()
    return answer


def told(*words, **options):
    return json.loads(tool(*words, "--json", **options).stdout)


class World:
    """A store with two tenants and a dump of it: ann has three apps with jobs, bob one."""

    def __init__(self, path):
        self.path = path
        self.store = path / "store"
        tool("init", "--data", self.store)
        self.ann, self.bob = (harness.Person(self.store, name) for name in ("ann", "bob"))
        with harness.serving(self.store) as server:
            self.apps = [self.fill(server, self.ann, 4, 100_000) for _ in range(3)]
            self.foreign = self.fill(server, self.bob, 1, 100)
        self.dump = path / "dump"
        tool("dump", "--data", self.store, "-o", self.dump)

    def fill(self, server, person, jobs, size):
        web = harness.Http1(server)
        app = web("POST", "/app", person.headers() + harness.JSON, harness.APP).json()["data"]["id"]
        for _ in range(jobs):
            body = {"input": {"of": person.name, "random": os.urandom(size).hex()}}
            assert web("POST", f"/app/{app}/run_async", person.headers() + harness.JSON, body).status == 200
        web.close()
        return app

    def restore(self, owner, *words, **options):
        return told("restore", self.dump, "--data", self.store, "--owner", owner, *words, **options)

    def check(self):
        tool("verify", "--data", self.store)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def new_user():
    return f"u:{harness_uuid()}"


def harness_uuid():
    return "%08x-%04x-7%03x-8%03x-%012x" % tuple(random.SystemRandom().randrange(1 << bits) for bits in (32, 16, 12, 12, 48))


def apps_of(store, owner, path):
    """What a dump of the owner counts, by kind; None: there is no such owner."""
    answer = subprocess.run([harness.ALLOD, "dump", "--data", store, "--owner", owner, "-o", path], capture_output=True,
                            timeout=harness.BOUND_SECONDS)
    if answer.returncode != 0:
        assert b"no u:" in answer.stderr
        return None
    kinds = told("verify", path)["kinds"]
    return kinds.get("app", 0), kinds.get("job", 0), kinds.get("job input", 0)


@pytest.mark.parametrize("is_served", [True, False])
def test_another_id(world, is_served):
    """Under another id, with a server and without: all apps and jobs, none of the keys; and the old owner's are there still."""
    as_owner = new_user()
    with harness.serving(world.store) if is_served else contextlib.nullcontext() as server:
        assert world.restore(f"u:{world.ann.id}", "--as", as_owner, "--dry-run")["apps"] == 3
        assert apps_of(world.store, as_owner, world.path / "none") is None
        counts = world.restore(f"u:{world.ann.id}", "--as", as_owner)
        assert counts["created"] and (counts["apps"], counts["jobs"], counts["keys"], counts["keys_dropped"]) == (3, 12, 0, 1)
        again = tool("restore", world.dump, "--data", world.store, "--owner", f"u:{world.ann.id}", "--as", as_owner, code=1)
        assert b"already" in again.stderr
        key = harness.tool_json("key", "add", as_owner[2:], "--data", str(world.store), "--name", "new")[0]["secret"]
        if is_served:
            web = harness.Http1(server)
            for app in world.apps:
                for headers in ([("x-api-key", key)], world.ann.headers()):
                    answer = web("GET", f"/app/{app}", headers)
                    assert answer.status == 200 and answer.json()["jobs"]["in_queue"] == 4
                assert web("GET", f"/app/{app}", world.bob.headers()).status == 404
            assert web("GET", f"/app/{world.foreign}", [("x-api-key", key)]).status == 404
            web.close()
    world.check()


def test_deleted_customer(world):
    """A user who was deleted by mistake: deleted, restored through the server, and the old key opens the old apps."""
    with harness.serving(world.store) as server:
        web = harness.Http1(server)
        etag = web("GET", f"/app/{world.apps[0]}", world.ann.headers()).headers["etag"]
        tool("user", "delete", world.ann.id, "--data", world.store)
        assert web("GET", f"/app/{world.apps[0]}", world.ann.headers()).status == 403
        bound = time.monotonic() + harness.BOUND_SECONDS
        while (answer := subprocess.run([harness.ALLOD, "restore", world.dump, "--data", world.store, "--owner", f"u:{world.ann.id}"],
                                        capture_output=True, timeout=harness.BOUND_SECONDS)).returncode != 0:
            assert b"not free yet" in answer.stderr and time.monotonic() < bound
        answer = web("GET", f"/app/{world.apps[0]}", world.ann.headers())
        assert answer.status == 200 and answer.headers["etag"] != etag
        assert web("DELETE", f"/app/{world.apps[0]}", world.ann.headers() + [("if-match", etag)]).status == 412
        web.close()
    world.check()


def test_chain(world):
    """Out of a full dump and two incrementals an owner is as the last has it: with what was made, changed and deleted since the
    full one, of that owner and of nobody else."""
    ann, bob = f"u:{world.ann.id}", f"u:{world.bob.id}"
    one, two, three = (world.path / name for name in ("one", "two", "three"))
    words = ["--data", world.store, "--owner", ann]
    with harness.serving(world.store) as server:
        web = harness.Http1(server)
        headers = world.ann.headers()
        assert web("DELETE", f"/app/{world.apps[0]}", headers).status == 204
        made = world.fill(server, world.ann, 2, 100)
        foreign = world.fill(server, world.bob, 3, 100)
        tool("dump", "--data", world.store, "--since", world.dump, "-o", one)
        assert web("PUT", f"/app/{world.apps[1]}", headers + harness.JSON, {"name": "second"}).status == 200
        world.fill(server, world.bob, 1, 100)
        world.fill(server, world.ann, 1, 100)
        tool("dump", "--data", world.store, "--since", one, "-o", two)

        chain = [world.dump, one, two]
        counts = told("restore", *chain, *words, "--as", new_user(), "--dry-run")
        assert (counts["created"], counts["apps"], counts["jobs"]) == (True, 4, 11)
        counts = told("restore", *chain, *words, "--as", new_user())
        assert (counts["created"], counts["apps"], counts["jobs"]) == (True, 4, 11)
        counts = told("restore", world.dump, one, *words, "--as", new_user())
        assert (counts["apps"], counts["jobs"]) == (3, 10)
        counts = told("restore", *chain, "--data", world.store, "--owner", bob, "--as", new_user())
        assert (counts["apps"], counts["jobs"]) == (3, 5)

        assert web("DELETE", f"/app/{made}", headers).status == 204
        assert web("PUT", f"/app/{world.apps[1]}", headers + harness.JSON, {"name": "third"}).status == 200
        counts = told("restore", *chain, *words, "--on-conflict", "skip")
        assert (counts["created"], counts["apps"], counts["apps_kept"], counts["jobs"]) == (False, 1, 3, 2)
        assert web("GET", f"/app/{world.apps[1]}", headers).json()["name"] == "third"
        counts = told("restore", *chain, *words, "--on-conflict", "replace")
        assert (counts["apps"], counts["apps_replaced"]) == (4, 4)
        assert web("GET", f"/app/{world.apps[1]}", headers).json()["name"] == "second"
        assert web("GET", f"/app/{made}", headers).status == 200
        for absent in (world.apps[0], foreign, world.foreign):
            assert web("GET", f"/app/{absent}", headers).status == 404
        for there in (foreign, world.foreign):
            assert web("GET", f"/app/{there}", world.bob.headers()).status == 200
        web.close()
    tool("user", "delete", world.bob.id, "--data", world.store)
    tool("dump", "--data", world.store, "--since", two, "-o", three)
    words = ["--data", world.store, "--owner", bob, "--as", new_user()]
    assert b"there is no u:" in tool("restore", *chain, three, *words, code=1).stderr
    told("restore", *chain, *words, "--dry-run")
    world.check()


def test_broken_chain(world):
    """A gap, one that is damaged, an incremental alone or behind a pipe: refused by name, and nothing is changed."""
    one, two, damaged = (world.path / name for name in ("one", "two", "damaged"))
    tool("user", "add", "--data", world.store, "--name", "carl")
    tool("dump", "--data", world.store, "--since", world.dump, "-o", one)
    tool("user", "add", "--data", world.store, "--name", "dora")
    tool("dump", "--data", world.store, "--since", one, "-o", two)
    data = bytearray(one.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    there = new_user()
    for files, name, text in (([world.dump, two], two, b"one between them is missing"), ([one], "", b"must come before it"),
                              ([one, two], one, b"must come before it"), ([world.dump, damaged, two], damaged, b"the dump is damaged"),
                              (["-", one], "-", b"only a single dump")):
        answer = tool("restore", *files, "--data", world.store, "--owner", f"u:{world.ann.id}", "--as", there, code=1, input=b"")
        assert text in answer.stderr and str(name).encode() in answer.stderr, answer.stderr
    assert there[2:].encode() not in tool("user", "list", "--data", world.store, "--json").stdout
    world.check()


def test_one_app_back(world):
    """skip brings back what is gone and leaves what is there; replace makes that as it was; what came since stays."""
    with harness.serving(world.store) as server:
        web = harness.Http1(server)
        headers = world.ann.headers()
        since = world.fill(server, world.ann, 1, 10)
        assert web("DELETE", f"/app/{world.apps[0]}", headers).status == 204
        assert web("PUT", f"/app/{world.apps[1]}", headers + harness.JSON, {"name": "since"}).status == 200
        counts = world.restore(f"u:{world.ann.id}", "--on-conflict", "skip")
        assert (counts["created"], counts["apps"], counts["apps_kept"], counts["jobs"]) == (False, 1, 2, 4)
        assert web("GET", f"/app/{world.apps[0]}", headers).json()["jobs"]["in_queue"] == 4
        assert web("GET", f"/app/{world.apps[1]}", headers).json()["name"] == "since"
        counts = world.restore(f"u:{world.ann.id}", "--on-conflict", "replace")
        assert (counts["apps"], counts["apps_replaced"]) == (3, 3)
        assert web("GET", f"/app/{world.apps[1]}", headers).json()["name"] == "app"
        assert web("GET", f"/app/{since}", headers).status == 200
        web.close()
    world.check()


def test_pipe_and_part(world):
    """From a pipe, which cannot be read at any place, and from a dump of that owner alone; not from one without."""
    data = world.dump.read_bytes()
    words = ["--data", world.store, "--owner", f"u:{world.ann.id}"]
    tool("restore", "-", *words, "--as", new_user(), input=data)
    tool("dump", *words, "-o", world.path / "ann")
    tool("restore", world.path / "ann", *words, "--as", new_user())
    missing = tool("restore", world.path / "ann", "--data", world.store, "--owner", f"u:{world.bob.id}", "--as", new_user(), code=1)
    assert b"there is no u:" in missing.stderr
    missing = tool("restore", "-", "--data", world.store, "--owner", new_user(), code=1, input=data)
    assert b"there is no u:" in missing.stderr
    world.check()


def test_late_pipe(world):
    """A dump from a pipe that comes later than the server would wait for a head: it is read before the server is called."""
    data = world.dump.read_bytes()
    with harness.serving(world.store, "--head-timeout", "1s"):
        child = subprocess.Popen([harness.ALLOD, "restore", "-", "--data", world.store, "--owner", f"u:{world.ann.id}", "--as", new_user()],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        child.stdin.write(data[:1])
        child.stdin.flush()
        bound = time.monotonic() + harness.BOUND_SECONDS
        while fcntl.ioctl(child.stdin, termios.FIONREAD, bytes(4)) != bytes(4):
            assert time.monotonic() < bound and child.poll() is None
        # It reads. Whoever connects now and says nothing is sent away, and so was whoever did before.
        with socket.socket(socket.AF_UNIX) as silent:
            silent.settimeout(harness.BOUND_SECONDS)
            silent.connect(f"{world.store}/admin.sock")
            while silent.recv(1000):
                pass
        _, errors = child.communicate(data[1:], timeout=harness.BOUND_SECONDS)
        assert child.returncode == 0, errors.decode()
    world.check()


def test_damaged(world):
    """A flipped bit in the owner's part, or a file that is cut off, is found before the server hears of it."""
    data = world.dump.read_bytes()
    words = ["restore", world.path / "bad", "--data", world.store, "--owner", f"u:{world.ann.id}", "--as", new_user()]
    for at in [len(data) // 2, 20, len(data) - 20, len(data) - 1]:
        bad = bytearray(data)
        bad[at] ^= 1
        (world.path / "bad").write_bytes(bad)
        answer = subprocess.run([harness.ALLOD, *map(str, words)], capture_output=True, timeout=harness.BOUND_SECONDS)
        assert answer.returncode == 1 and b"damaged" in answer.stderr, answer
        (world.path / "bad").write_bytes(data[:at])
        answer = subprocess.run([harness.ALLOD, *map(str, words)], capture_output=True, timeout=harness.BOUND_SECONDS)
        assert answer.returncode == 1 and b"damaged" in answer.stderr, answer
    (world.path / "bad").write_bytes(data)
    tool(*words)


def test_encrypted(world):
    """An encrypted dump: with its key, at any place and from a pipe; not without, nor with another; and a server takes none as it is."""
    (world.path / "key").write_bytes(os.urandom(32))
    (world.path / "wrong").write_bytes(os.urandom(32))
    for name in ("key", "wrong"):
        (world.path / name).chmod(0o600)
    owner = f"u:{world.ann.id}"
    sealed = world.path / "sealed"
    tool("dump", "--data", world.store, "--key-file", world.path / "key", "-o", sealed)
    words = ["--data", world.store, "--owner", owner]
    for key in ([], ["--key-file", world.path / "wrong"]):
        assert b"cannot read the dump" in tool("restore", sealed, *words, "--as", new_user(), *key, code=1).stderr
    key = ["--key-file", world.path / "key"]
    assert told("restore", sealed, *words, "--as", new_user(), *key)["apps"] == 3
    tool("restore", "-", *words, "--as", new_user(), *key, input=sealed.read_bytes())
    tool("dump", *words, *key, "-o", world.path / "ann")
    with harness.serving(world.store), restoring(world) as call:
        assert told("restore", sealed, *words, "--as", new_user(), *key)["apps"] == 3
        assert refusal(call, [options(owner, new_user()), *parts((world.path / "ann").read_bytes())]) == "INVALID_ARGUMENT"
    world.check()


def test_usage(world):
    """What cannot be meant is refused."""
    owner = f"u:{world.ann.id}"
    for words in (["--owner", "x"], ["--owner", owner, "--as", "x"], ["--owner", owner, "--as", "t" + owner[1:]],
                  ["--owner", owner, "--on-conflict", "maybe"], ["--as", owner], ["--on-conflict", "skip"],
                  ["--owner", owner, "--keep-revoked-from", world.store]):
        tool("restore", world.dump, "--data", world.store, *words, code=2)


# ---- The method itself ----

@contextlib.contextmanager
def restoring(world):
    with grpc.insecure_channel(f"unix:{world.store}/admin.sock", options=[("grpc.default_authority", "localhost")]) as channel:
        yield channel.stream_unary("/allod.v1.AdminService/Restore", request_serializer=V1.RestoreRequest.SerializeToString,
                                   response_deserializer=V1.RestoreResponse.FromString)


def options(owner, as_owner, **more):
    return V1.RestoreRequest(options=V1.RestoreOptions(owner=owner, as_owner=as_owner, **more))


def parts(data, size=50_000):
    for at in range(0, len(data), size):
        yield V1.RestoreRequest(data=data[at:at + size])


def refusal(call, requests):
    with pytest.raises(grpc.RpcError) as caught:
        call(iter(requests), timeout=harness.BOUND_SECONDS)
    return caught.value.code().name


def test_stream(world):
    """A client in another language: the dump in messages of any size; and every wrong stream is refused and leaves nothing."""
    owner = f"u:{world.ann.id}"
    tool("dump", "--data", world.store, "--owner", owner, "-o", world.path / "ann")
    data = (world.path / "ann").read_bytes()
    both = world.dump.read_bytes()
    with harness.serving(world.store) as server, restoring(world) as call:
        for size in (50_000, 777, 65_000):
            answer = call(iter([options(owner, new_user()), *parts(data, size)]), timeout=harness.BOUND_SECONDS)
            assert (answer.created, answer.apps, answer.jobs) == (True, 3, 12)
        as_owner = new_user()
        assert refusal(call, []) == "INVALID_ARGUMENT"
        assert refusal(call, parts(data)) == "INVALID_ARGUMENT"
        assert refusal(call, [options(owner, as_owner)]) == "INVALID_ARGUMENT"
        assert refusal(call, [options(owner, as_owner), options(owner, as_owner), *parts(data)]) == "INVALID_ARGUMENT"
        assert refusal(call, [options("x", as_owner), *parts(data)]) == "INVALID_ARGUMENT"
        assert refusal(call, [options(owner, "t" + as_owner[1:]), *parts(data)]) == "INVALID_ARGUMENT"
        assert refusal(call, [options(owner, as_owner, on_conflict=7), *parts(data)]) == "INVALID_ARGUMENT"
        assert refusal(call, [options(owner, as_owner), *parts(data[:-1])]) == "INVALID_ARGUMENT"
        assert refusal(call, [options(owner, as_owner), *parts(data + b"x")]) == "INVALID_ARGUMENT"
        assert refusal(call, [options(owner, as_owner), *parts(both)]) == "INVALID_ARGUMENT"
        assert refusal(call, [options(f"u:{world.bob.id}", as_owner), *parts(data)]) == "INVALID_ARGUMENT"
        assert refusal(call, [V1.RestoreRequest(data=data[:70_000])]) == "RESOURCE_EXHAUSTED"
        assert apps_of(world.store, as_owner, world.path / "none") is None
        call(iter([options(owner, as_owner), *parts(data)]), timeout=harness.BOUND_SECONDS)
        with grpc.insecure_channel(server.address) as public, pytest.raises(grpc.RpcError) as caught:
            public.stream_unary("/allod.v1.AdminService/Restore", request_serializer=V1.RestoreRequest.SerializeToString,
                                response_deserializer=V1.RestoreResponse.FromString)(
                iter([options(owner, new_user()), *parts(data)]), metadata=world.ann.headers(), timeout=harness.BOUND_SECONDS)
        assert caught.value.code().name == "UNIMPLEMENTED"
    world.check()


def test_one_at_a_time(world):
    """While one client sends, another is told to wait; when the first goes away without an end, the place is free, and the server
    ends although one is under way."""
    owner = f"u:{world.ann.id}"
    tool("dump", "--data", world.store, "--owner", owner, "-o", world.path / "ann")
    data = (world.path / "ann").read_bytes()
    sent, go = threading.Event(), threading.Event()

    def slowly():
        yield options(owner, new_user())
        yield from parts(data[:len(data) // 2])
        sent.set()
        go.wait(harness.BOUND_SECONDS)

    with harness.serving(world.store) as server, restoring(world) as call, restoring(world) as other:
        pending = call.future(slowly(), timeout=harness.BOUND_SECONDS)
        assert sent.wait(harness.BOUND_SECONDS)
        second = [options(owner, new_user()), *parts(data)]
        bound = time.monotonic() + harness.BOUND_SECONDS
        while True:  # what was yielded may not have arrived yet
            try:
                other(iter(second), timeout=harness.BOUND_SECONDS)
                second = [options(owner, new_user()), *parts(data)]
            except grpc.RpcError as error:
                assert error.code().name == "RESOURCE_EXHAUSTED"
                break
            assert time.monotonic() < bound
        pending.cancel()
        go.set()
        while True:
            with contextlib.suppress(grpc.RpcError):
                other(iter([options(owner, new_user()), *parts(data)]), timeout=harness.BOUND_SECONDS)
                break
            assert time.monotonic() < bound
        go.clear()
        sent.clear()
        pending = call.future(slowly(), timeout=harness.BOUND_SECONDS)
        assert sent.wait(harness.BOUND_SECONDS)
        server.child.send_signal(signal.SIGTERM)
        server.assert_ended_well()
        go.set()
        assert pending.exception(timeout=harness.BOUND_SECONDS).code().name in ("UNAVAILABLE", "CANCELLED")
    world.check()


def test_no_room(world):
    """Where the map comes near its end a restore gives up before others are refused, and the log says why."""
    as_owner = new_user()
    with harness.serving(world.store, "--map-size", "100M") as server:
        answer = tool("restore", world.dump, "--data", world.store, "--owner", f"u:{world.ann.id}", "--as", as_owner, code=1)
        assert b"takes no writes" in answer.stderr
        server.wait_for("too little room")
        web = harness.Http1(server)
        assert web("POST", "/app", world.bob.headers() + harness.JSON, harness.APP).status == 201
        web.close()
    assert apps_of(world.store, as_owner, world.path / "none") is None
    world.check()


def test_others_go_on(world):
    """While an owner is restored again and again, others create, read and delete, and none of it fails."""
    done = threading.Event()
    counts = {"calls": 0}
    failures = []

    def work(server):
        web = harness.Http1(server)
        headers = world.bob.headers()
        while not done.is_set():
            made = web("POST", "/app", headers + harness.JSON, harness.APP)
            app = made.json()["data"]["id"] if made.status == 201 else "?"
            statuses = [made.status, web("GET", f"/app/{app}", headers).status, web("DELETE", f"/app/{app}", headers).status]
            if statuses != [201, 200, 204]:
                failures.append(statuses)
            counts["calls"] += 3
        web.close()

    with harness.serving(world.store) as server:
        thread = threading.Thread(target=work, args=[server])
        thread.start()
        start = time.monotonic()
        for _ in range(3):
            assert world.restore(f"u:{world.ann.id}", "--as", new_user())["apps"] == 3
            assert world.restore(f"u:{world.ann.id}", "--on-conflict", "replace")["apps"] == 3
        took = time.monotonic() - start
        done.set()
        thread.join(harness.BOUND_SECONDS)
    print(f"six restores in {took:.1f} s, with {counts['calls']} calls of another user meanwhile")
    assert not failures and counts["calls"] > 0
    world.check()


# ---- Deaths ----

def test_kills(world):
    """kill -9 of the server, or of the tool on the files, at random moments: the store fits together, an owner who was not there is
    there whole or not at all, and each app of one who was likewise."""
    print("seed", SEED)
    chance = random.Random(SEED)
    owner = f"u:{world.ann.id}"
    outcomes = []
    start = time.monotonic()
    world.restore(owner, "--on-conflict", "replace")
    longest = 1.5 * (time.monotonic() - start)
    for number in range(KILLS):
        is_served, is_replace = number % 2 == 0, number % 3 == 0
        as_owner = owner if is_replace else new_user()
        words = ["restore", world.dump, "--data", world.store, "--owner", owner, "--as", as_owner,
                 "--on-conflict", "replace" if is_replace else "fail"]
        server = harness.Server(world.store) if is_served else None
        child = subprocess.Popen([harness.ALLOD, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0, longest))
        if server:
            server.kill()
        else:
            child.kill()
        child.wait(harness.BOUND_SECONDS)
        world.check()
        found = apps_of(world.store, as_owner, world.path / "found")
        if is_replace:
            assert found[1] == 4 * found[0] == found[2], found
        else:
            assert found in (None, (3, 12, 12)), found
        outcomes.append((child.returncode, found))
    print(outcomes)
    assert world.restore(owner, "--on-conflict", "replace")["apps"] == 3
    assert apps_of(world.store, owner, world.path / "found") == (3, 12, 12)
    world.check()
