"""kill -9 at random moments of dump and of restore, and a disk that is full during both: the old or the new, nothing in between. Of full
dumps, and of incremental ones in the clear and encrypted."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time

import pytest

ALLOD = os.environ.get("ALLOD", "build/allod")
KILLS = int(os.environ.get("ALLOD_DUMP_KILLS", "25"))
CHAIN_KILLS = KILLS // 2  # of each of two kinds
SEED = int(os.environ.get("ALLOD_SEED", random.SystemRandom().randrange(1 << 32)))


def run(*arguments, **options):
    return subprocess.run([ALLOD, *map(str, arguments)], capture_output=True, timeout=300, **options)


def facts(path, *options):
    done = run("verify", path, *options, "--json")
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def fill(path, jobs):
    """Some MiB in one app, so that there are moments in the middle."""
    server = subprocess.Popen([ALLOD, "serve", "--data", path, "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    while "listening" not in (line := server.stderr.readline()):
        assert line
    url = "http://" + line.split("listening address=")[1].split()[0]
    key = ["-sf", "-H", "x-api-key: 12324234", "-H", "Content-Type: application/json"]
    app = {"name": "A", "configuration": {"gpu_tier": "BASIC"}, "workflow": {"model_url": "https://example.org/m"}}
    made = subprocess.run(["curl", *key, "-d", json.dumps(app), url + "/app"], check=True, capture_output=True, timeout=60)
    for _ in range(jobs):
        body = json.dumps({"input": {"random": os.urandom(1_000_000).hex()}})
        subprocess.run(["curl", *key, "-d", "@-", f"{url}/app/{json.loads(made.stdout)['data']['id']}/run_async"], input=body.encode(),
                       check=True, capture_output=True, timeout=60)
    server.terminate()
    server.communicate(timeout=60)
    assert server.returncode == 0


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("kill") / "store"
    assert run("init", "--data", path, "--demo").returncode == 0
    fill(path, 8)
    return path


class Chain:
    """A full dump and an incremental one of as much, both with the same key or without."""

    def __init__(self, path, options):
        self.store, self.options = path / "store", options
        self.full, self.last = path / "full", path / "last"
        assert run("init", "--data", self.store, "--demo").returncode == 0
        fill(self.store, 4)
        assert run("dump", "--data", self.store, *options, "-o", self.full).returncode == 0
        fill(self.store, 4)
        assert run(*self.dump(self.last)).returncode == 0
        self.facts = facts(self.last, *options)

    def dump(self, to):
        return ["dump", "--data", self.store, "--since", self.full, *self.options, "-o", to]

    def restore(self, last, to):
        return ["restore", self.full, last, *self.options, "--data", to]


@pytest.fixture(scope="module", params=["clear", "encrypted"])
def chain(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("chain")
    key = path / "key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    return Chain(path, ["--key-file", key] if request.param == "encrypted" else [])


@pytest.fixture
def dump(store, tmp_path):
    assert run("dump", "--data", store, "-o", tmp_path / "dump").returncode == 0
    return tmp_path / "dump"


def killed_at_random(chance, longest, *arguments):
    """Whether it was killed; else it had ended well."""
    child = subprocess.Popen([ALLOD, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(chance.uniform(0, longest))
    child.kill()
    assert child.wait(60) in (0, -signal.SIGKILL)
    return child.returncode != 0


def seconds_of(*arguments):
    start = time.monotonic()
    assert run(*arguments).returncode == 0
    return time.monotonic() - start


def test_dump(store, dump, tmp_path):
    """The file under its name is a whole dump whenever the process dies."""
    chance, killed = random.Random(SEED), 0
    longest = 1.2 * seconds_of("dump", "--data", store, "-o", tmp_path / "other")
    want = facts(dump)["root_hash"]
    while killed < KILLS:
        killed += killed_at_random(chance, longest, "dump", "--data", store, "-o", dump)
        assert facts(dump)["root_hash"] == want, SEED
    print(f"{killed} kills of dump")
    assert run("verify", "--data", store).returncode == 0


def test_restore(dump, tmp_path):
    """There is no store or a whole one whenever the process dies; and what it left is in nobody's way."""
    chance, killed = random.Random(SEED), 0
    longest = 1.2 * seconds_of("restore", dump, "--data", tmp_path / "first")
    want = facts(dump)["root_hash"]
    place = tmp_path / "place"
    while killed < KILLS:
        killed += killed_at_random(chance, longest, "restore", dump, "--data", place)
        if not (place / "data.mdb").exists():
            continue
        assert run("verify", "--data", place).returncode == 0, SEED
        assert run("dump", "--data", place, "-o", tmp_path / "again").returncode == 0
        assert facts(tmp_path / "again")["root_hash"] == want, SEED
        shutil.rmtree(place)
    print(f"{killed} kills of restore")
    shutil.rmtree(place, ignore_errors=True)
    assert run("restore", dump, "--data", place).returncode == 0


def with_little_room(size):
    """No file may grow beyond it, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_full_disk(store, dump, tmp_path):
    """It is said, and nothing is left: no part of a dump, no part of a store."""
    want = facts(dump)
    for size in (0, 70_000, want["size"] // 2, want["size"] - 1):
        failed = run("dump", "--data", store, "-o", dump, preexec_fn=lambda: with_little_room(size))
        assert failed.returncode == 1 and failed.stderr, size
        assert facts(dump) == want
        assert os.listdir(tmp_path) == ["dump"]
    for size in (0, 10_000, 200_000, want["content_size"] // 2):
        failed = run("restore", dump, "--data", tmp_path / "place", preexec_fn=lambda: with_little_room(size))
        assert failed.returncode == 1 and failed.stderr, size
        assert os.listdir(tmp_path) == ["dump"], (size, failed.stderr)


def test_incremental_dump(chain, tmp_path):
    """The file under its name is a whole incremental dump whenever the process dies."""
    chance, killed = random.Random(SEED), 0
    longest = 1.2 * seconds_of(*chain.dump(tmp_path / "other"))
    last = tmp_path / "last"
    shutil.copy(chain.last, last)
    while killed < CHAIN_KILLS:
        killed += killed_at_random(chance, longest, *chain.dump(last))
        assert facts(last, *chain.options)["root_hash"] == chain.facts["root_hash"], SEED
    print(f"{killed} kills of an incremental dump")
    assert run("verify", chain.full, last, *chain.options).returncode == 0
    assert run("verify", "--data", chain.store).returncode == 0


def test_restore_of_chain(chain, tmp_path):
    """There is no store or a whole one whenever the process dies; and what it left is in nobody's way."""
    chance, killed = random.Random(SEED), 0
    longest = 1.2 * seconds_of(*chain.restore(chain.last, tmp_path / "first"))
    place = tmp_path / "place"
    while killed < CHAIN_KILLS:
        killed += killed_at_random(chance, longest, *chain.restore(chain.last, place))
        if not (place / "data.mdb").exists():
            continue
        assert run("verify", "--data", place).returncode == 0, SEED
        assert run("dump", "--data", place, "-o", tmp_path / "again").returncode == 0
        assert facts(tmp_path / "again")["root_hash"] == chain.facts["root_hash"], SEED
        shutil.rmtree(place)
    print(f"{killed} kills of the restore of a chain")
    shutil.rmtree(place, ignore_errors=True)
    assert run(*chain.restore(chain.last, place)).returncode == 0


def test_full_disk_and_chain(chain, tmp_path):
    """It is said, and nothing is left: no part of an incremental dump, no part of a store."""
    last = tmp_path / "last"
    shutil.copy(chain.last, last)
    for size in (0, 70_000, chain.facts["size"] // 2, chain.facts["size"] - 1):
        failed = run(*chain.dump(last), preexec_fn=lambda: with_little_room(size))
        assert failed.returncode == 1 and b"large" in failed.stderr, (size, failed.stderr)
        assert last.read_bytes() == chain.last.read_bytes()
        assert os.listdir(tmp_path) == ["last"]
    for size in (0, 10_000, 200_000, chain.facts["content_size"] // 2):
        failed = run(*chain.restore(last, tmp_path / "place"), preexec_fn=lambda: with_little_room(size))
        assert failed.returncode == 1 and failed.stderr, size
        assert os.listdir(tmp_path) == ["last"], (size, failed.stderr)
