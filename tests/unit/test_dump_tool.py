"""allod dump, verify and restore, as a person runs them: files, pipes, exit codes, and what an interruption leaves."""

import http.client
import json
import os
import pty
import re
import select
import signal
import subprocess
import threading
import time

import pytest

ALLOD = os.environ.get("ALLOD", "build/allod")
USER = "u:ee4988a7-48e2-44ae-81f5-178a44ebeb58"
APP = {"name": "An app", "configuration": {"gpu_tier": "BASIC"}, "workflow": {"model_url": "https://example.org/m"}}
TEAM = "t:123e4567-e89b-12d3-a456-426614174000"


def allod(*arguments, code=0, **options):
    done = subprocess.run([ALLOD, *map(str, arguments)], capture_output=True, timeout=120, **options)
    assert done.returncode == code, done.stderr.decode()
    return done


@pytest.fixture
def store(tmp_path):
    allod("init", "--data", tmp_path / "store", "--demo")
    return tmp_path / "store"


@pytest.fixture
def dump(store, tmp_path):
    allod("dump", "--data", store, "-o", tmp_path / "dump")
    return tmp_path / "dump"


def root_hash(path):
    return json.loads(allod("verify", path, "--json").stdout)["root_hash"]


def test_round_trip(dump, tmp_path):
    """What was restored gives a dump with the same root hash, and a server on it knows the key of before."""
    allod("restore", dump, "--data", tmp_path / "new")
    allod("dump", "--data", tmp_path / "new", "-o", tmp_path / "again")
    assert root_hash(dump) == root_hash(tmp_path / "again")
    assert b"Demo team" in allod("team", "list", "--data", tmp_path / "new").stdout


def test_pipe(store, tmp_path):
    """Standard output and standard input do as well as files, and what is told does not get between."""
    written = allod("dump", "--data", store)
    assert b"root hash" in written.stderr
    assert b"as they were written" in allod("verify", "-", input=written.stdout).stdout
    allod("restore", "-", "--data", tmp_path / "new", input=written.stdout)
    assert (tmp_path / "new" / "data.mdb").exists()


def test_owners(store, tmp_path):
    """--owner may be given several times; one that does not exist or is no owner is refused, and no file is left."""
    allod("dump", "--data", store, "--owner", USER, "-o", tmp_path / "one")
    told = json.loads(allod("dump", "--data", store, "--owner", USER, "--owner=" + TEAM, "-o", tmp_path / "two", "--json").stdout)
    assert told["owners"] == 2
    assert json.loads(allod("verify", tmp_path / "one", "--json").stdout)["owners"] == 1
    allod("dump", "--data", store, "--owner", "x:1", "-o", tmp_path / "none", code=2)
    missing = allod("dump", "--data", store, "--owner", "u" + TEAM[1:], "-o", tmp_path / "none", code=1)
    assert b"there is no u:" in missing.stderr
    assert sorted(os.listdir(tmp_path)) == ["one", "store", "two"]


def changes_of_team(path):
    return json.loads(allod("verify", path, "--json").stdout)["kinds"]["change"]


def test_look_is_written(store, tmp_path):
    """A dump of a named owner stands in that owner's change log, offline and online; a dump of everything in nobody's."""
    before = allod("dump", "--data", store, "--owner", TEAM).stdout
    (tmp_path / "first").write_bytes(before)
    allod("dump", "--data", store, "-o", tmp_path / "all")
    allod("dump", "--data", store, "--owner", TEAM, "-o", tmp_path / "second")
    server = Server(store)
    allod("dump", "--data", store, "--owner", TEAM, "-o", tmp_path / "third")
    allod("dump", "--data", store, "-o", tmp_path / "all")
    allod("dump", "--data", store, "--owner", TEAM, "-o", tmp_path / "fourth")
    server.stop()
    counts = [changes_of_team(tmp_path / name) for name in ("first", "second", "third", "fourth")]
    assert counts == list(range(counts[0], counts[0] + 4))


def test_damaged(dump, tmp_path):
    """verify names the owner and exits with 3; restore refuses, and leaves nothing."""
    data = bytearray(dump.read_bytes())
    data[data.index(b"C") + 100] ^= 1
    dump.write_bytes(data)
    told = allod("verify", dump, code=3).stdout.decode()
    assert told.startswith(("u:", "t:")) and "offset" in told
    faults = json.loads(allod("verify", dump, "--json", code=3).stdout)["faults"]
    assert len(faults) == 1 and faults[0]["owner"] in (USER, TEAM)
    allod("restore", dump, "--data", tmp_path / "new", code=1)
    assert not (tmp_path / "new").exists()
    allod("verify", tmp_path / "absent", code=1)


def test_failed_dump_leaves_the_old_one(store, dump, tmp_path):
    """The name belongs to a whole dump: what fails does not touch it."""
    before = dump.read_bytes()
    allod("dump", "--data", store, "--owner", "u" + TEAM[1:], "-o", dump, code=1)
    assert dump.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["dump", "store"]


def test_dry_run(dump, store, tmp_path):
    """A dry run says what is in the dump and whether the place is free, and makes nothing."""
    assert b"The dump is whole" in allod("restore", dump, "--data", tmp_path / "new", "--dry-run").stdout
    assert not (tmp_path / "new").exists()
    assert b"already" in allod("restore", dump, "--data", store, "--dry-run", code=1).stderr


def restore_halfway(dump, place):
    """A restore that has begun and waits for the second half of its dump."""
    data = dump.read_bytes()
    child = subprocess.Popen([ALLOD, "restore", "-", "--data", place], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdin.write(data[:len(data) // 2])
    child.stdin.flush()
    bound = time.monotonic() + 60
    while not (place / "unfinished" / "lock").exists():
        assert time.monotonic() < bound and child.poll() is None
        time.sleep(0.01)
    return child


def test_interrupted_restore(dump, tmp_path):
    """SIGINT leaves nothing."""
    place = tmp_path / "new"
    child = restore_halfway(dump, place)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 1 and b"interrupted" in errors
    assert not place.exists()


def test_killed_restore(dump, tmp_path):
    """After kill -9 there is no store, which is said; and the next restore makes one."""
    place = tmp_path / "new"
    child = restore_halfway(dump, place)
    child.kill()
    child.communicate(timeout=60)
    assert not (place / "data.mdb").exists()
    assert b"interrupted" in allod("stat", "--data", place, code=1).stderr
    allod("restore", dump, "--data", place)
    assert sorted(set(os.listdir(place)) - {"lock", "lock.mdb", "reserve"}) == ["data.mdb"]


def test_verify_store(store, tmp_path):
    """A store that is as it should be; one with a flipped byte, which is told with the owner; and none at all."""
    assert b"All is as it should be" in allod("verify", "--data", store).stdout
    told = json.loads(allod("verify", "--data", store, "--json").stdout)
    assert told["faults"] == [] and told["owners"] == 2 and told["kinds"]["member"] == 1
    allod("verify", "--data", tmp_path, code=1)
    allod("verify", "x", "--data", store, code=2)

    data = bytearray((store / "data.mdb").read_bytes())
    at = -1
    while (at := data.find(b"Demo team", at + 1)) >= 0:  # pages that are no longer used have it too
        data[at] ^= 1
    (store / "data.mdb").write_bytes(data)
    assert TEAM in allod("verify", "--data", store, code=3).stdout.decode()
    faults = json.loads(allod("verify", "--data", store, "--json", code=3).stdout)["faults"]
    assert any(fault.startswith(TEAM) for fault in faults)


class Server:
    def __init__(self, data):
        self.child = subprocess.Popen([ALLOD, "serve", "--data", data, "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
        while "listening" not in (line := self.child.stderr.readline()):
            assert line, "the server has ended"
        self.address = re.search(r"127\.0\.0\.1:\d+", line).group()

    def post(self, path, body):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("POST", path, json.dumps(body), {"x-api-key": "12324234", "Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status < 300, answer.read()
        return json.loads(answer.read())

    def delete(self, path):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("DELETE", path, headers={"x-api-key": "12324234"})
        assert connection.getresponse().status == 204

    def fill(self, jobs):
        """An app with jobs whose inputs hardly compress, so that a dump is of many messages."""
        app = self.post("/app", APP)
        for _ in range(jobs):
            self.post(f"/app/{app['data']['id']}/run_async", {"input": {"random": os.urandom(200_000).hex()}})

    def stop(self):
        self.child.terminate()
        self.child.communicate(timeout=60)
        assert self.child.returncode == 0


@pytest.fixture
def server(store):
    """Holds the store."""
    server = Server(store)
    yield server
    server.stop()


def test_online(server, store, tmp_path):
    """A server gives a whole dump, of all or of one owner; and nothing of it is left in its directory."""
    server.fill(12)
    before = sorted(os.listdir(store))
    told = json.loads(allod("dump", "--data", store, "-o", tmp_path / "online", "--json").stdout)
    assert told["owners"] == 2 and told["size"] == (tmp_path / "online").stat().st_size > 2_000_000
    assert told["root_hash"] == root_hash(tmp_path / "online")
    assert sorted(os.listdir(store)) == before
    piped = allod("dump", "--data", store, "--owner", TEAM).stdout
    assert json.loads(allod("verify", "-", "--json", input=piped).stdout)["owners"] == 1
    missing = allod("dump", "--data", store, "--owner", "u" + TEAM[1:], "-o", tmp_path / "none", code=1)
    assert b"no u:" in missing.stderr and not (tmp_path / "none").exists()


def test_offline_after_online(store, tmp_path):
    """The same root hash through a server and from its files; and from what is restored of either."""
    server = Server(store)
    server.fill(3)
    allod("dump", "--data", store, "-o", tmp_path / "online")
    server.stop()
    allod("dump", "--data", store, "-o", tmp_path / "offline")
    allod("restore", tmp_path / "online", "--data", tmp_path / "new")
    allod("dump", "--data", tmp_path / "new", "-o", tmp_path / "again")
    assert root_hash(tmp_path / "online") == root_hash(tmp_path / "offline") == root_hash(tmp_path / "again")
    assert b"All is as it should be" in allod("verify", "--data", tmp_path / "new").stdout


def test_reader_that_leaves(server, store, tmp_path):
    """Whoever goes away in the middle leaves the server as it was: the next dump is served, and it ends cleanly."""
    server.fill(12)
    for _ in range(5):
        child = subprocess.Popen([ALLOD, "dump", "--data", store], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        child.stdout.read(10)
        child.kill()
        child.communicate(timeout=60)
    bound = time.monotonic() + 60
    while subprocess.run([ALLOD, "dump", "--data", store, "-o", tmp_path / "whole"], capture_output=True, timeout=60).returncode != 0:
        assert time.monotonic() < bound
    assert json.loads(allod("verify", tmp_path / "whole", "--json").stdout)["faults"] == []


def test_one_at_a_time(server, store, tmp_path):
    """A second dump is told to wait; the first one, however slow its reader is, does not keep the server from ending."""
    server.fill(20)
    slow = subprocess.Popen([ALLOD, "dump", "--data", store], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    slow.stdout.read(10)
    second = allod("dump", "--data", store, "-o", tmp_path / "second", code=1)
    assert b"Another dump" in second.stderr
    server.post("/app", APP)
    server.child.terminate()
    server.child.communicate(timeout=60)
    assert server.child.returncode == 0
    slow.communicate(timeout=60)
    assert slow.returncode == 1



def test_one_moment(server, store, tmp_path):
    """While jobs are submitted, a dump is of one moment: what is restored of it fits together, to the counters."""
    app = server.post("/app", APP)["data"]["id"]
    first, done = threading.Event(), threading.Event()

    def write():
        while not done.is_set():
            server.post(f"/app/{app}/run_async", {"input": {"n": 1}})
            first.set()

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        assert first.wait(60)
        for i in range(3):
            allod("dump", "--data", store, "-o", tmp_path / "dump")
            allod("restore", tmp_path / "dump", "--data", tmp_path / f"new{i}")
            assert b"All is as it should be" in allod("verify", "--data", tmp_path / f"new{i}").stdout
        assert all(writer.is_alive() for writer in writers)  # none has failed
    finally:
        done.set()
        for writer in writers:
            writer.join(60)
    assert not any(writer.is_alive() for writer in writers)


def test_rate(server, store, tmp_path):
    """--rate bounds how fast a dump is written; SIGINT does not have to wait for it."""
    server.fill(20)
    child = subprocess.Popen([ALLOD, "dump", "--data", store, "--rate", "1", "-o", tmp_path / "slow"], stderr=subprocess.PIPE)
    bound = time.monotonic() + 60
    while not (tmp_path / "slow.unfinished").exists():
        assert time.monotonic() < bound
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 1 and b"interrupted" in errors
    assert sorted(os.listdir(tmp_path)) == ["store"]
    for wrong in ("0", "x", "-1", ""):
        allod("dump", "--data", store, "--rate", wrong, "-o", tmp_path / "none", code=2)


# ---- Encryption ----

@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(os.urandom(32))
    path.chmod(0o640)
    return path


def test_key_file(store, key_file, tmp_path):
    """Encrypted with a key, raw or in hexadecimal, no id of the store is to be seen; what is restored is the same."""
    told = json.loads(allod("dump", "--data", store, "--key-file", key_file, "-o", tmp_path / "sealed", "--json").stdout)
    data = (tmp_path / "sealed").read_bytes()
    allod("dump", "--data", store, "-o", tmp_path / "clear")
    for secret in (bytes.fromhex(USER[2:].replace("-", "")), bytes.fromhex(TEAM[2:].replace("-", ""))):
        assert secret in (tmp_path / "clear").read_bytes() and secret not in data
    hexadecimal = tmp_path / "hex"
    hexadecimal.write_text(key_file.read_bytes().hex() + "\n")
    hexadecimal.chmod(0o600)
    checked = json.loads(allod("verify", tmp_path / "sealed", "--key-file", hexadecimal, "--json").stdout)
    assert checked["root_hash"] == told["root_hash"] == root_hash(tmp_path / "clear")
    allod("restore", tmp_path / "sealed", "--key-file", key_file, "--data", tmp_path / "new")
    allod("dump", "--data", tmp_path / "new", "-o", tmp_path / "again")
    assert root_hash(tmp_path / "again") == told["root_hash"]


def test_wrong_key(store, key_file, tmp_path):
    """Without the key, with another, or with one and a dump in the clear, nothing is damaged and nothing made of it."""
    allod("dump", "--data", store, "--key-file", key_file, "-o", tmp_path / "sealed")
    other = tmp_path / "other"
    other.write_bytes(os.urandom(32))
    other.chmod(0o600)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o600)
    for options, text in (([], b"no key was given"), (["--key-file", other], b"the key does not fit"),
                          (["--passphrase-file", passphrase], b"with a key file, not a passphrase")):
        assert text in allod("verify", tmp_path / "sealed", *options, code=1).stderr
        assert text in allod("restore", tmp_path / "sealed", "--data", tmp_path / "new", *options, code=1).stderr
    allod("dump", "--data", store, "-o", tmp_path / "clear")
    for options in (["--key-file", key_file], ["--passphrase-file", passphrase]):
        for words in (["verify", tmp_path / "clear"], ["restore", tmp_path / "clear", "--data", tmp_path / "new"],
                      ["restore", tmp_path / "clear", "--data", store, "--owner", USER, "--dry-run"]):
            assert b"a key was given, and the dump is not encrypted" in allod(*words, *options, code=1).stderr
    assert not (tmp_path / "new").exists()
    data = bytearray((tmp_path / "sealed").read_bytes())
    data[-200] ^= 1
    (tmp_path / "sealed").write_bytes(data)
    allod("verify", tmp_path / "sealed", "--key-file", key_file, code=3)


def test_passphrase_file(store, tmp_path):
    """A passphrase is a file's first line, or a descriptor's; the line's end is not part of it."""
    path = tmp_path / "passphrase"
    path.write_text("correct horse\nand more\n")
    path.chmod(0o600)
    allod("dump", "--data", store, "--passphrase-file", path, "-o", tmp_path / "sealed")
    checked = allod("verify", tmp_path / "sealed", "--passphrase-file", "/dev/stdin", input=b"correct horse")
    assert b"as they were written" in checked.stdout
    allod("verify", tmp_path / "sealed", "--passphrase-file", "/dev/stdin", input=b"correct horse ", code=1)


def test_bad_secrets(store, key_file, tmp_path):
    """Files that everybody can read, that hold no key, empty passphrases, two secrets at once: each is said; no dump is made."""
    def refused(text, *options, code=1, data=b""):
        assert text in allod("dump", "--data", store, "-o", tmp_path / "none", *options, code=code, input=data).stderr
        assert not (tmp_path / "none").exists()

    refused(b"one of", "--key-file", key_file, "--passphrase", code=2)
    refused(b"cannot read", "--key-file", tmp_path / "absent")
    refused(b"is empty", "--passphrase-file", "/dev/stdin", data=b"\n")
    refused(b"longer than 1024", "--passphrase-file", "/dev/stdin", data=b"x" * 1025)
    refused(b"is no key file", "--key-file", "/dev/stdin", data=b"x" * 31)
    refused(b"is no key file", "--key-file", "/dev/stdin", data=b"0" * 63 + b"x")
    refused(b"no terminal", "--passphrase")
    key_file.chmod(0o644)
    refused(b"everybody", "--key-file", key_file)
    assert b"FILE is missing" in allod("verify", "--data", store, "--key-file", key_file, code=2).stderr


def on_terminal(arguments, lines):
    """The command in a session of its own, on a terminal on which somebody types. What was shown, and the exit code."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(ALLOD, [ALLOD, *map(str, arguments)])
    shown = b""
    for prompt, line in lines:
        while prompt not in shown:
            assert select.select([terminal], [], [], 60)[0], shown
            shown += os.read(terminal, 1000)
        os.write(terminal, line)
    while True:
        assert select.select([terminal], [], [], 60)[0], shown
        try:
            data = os.read(terminal, 1000)
        except OSError:  # so it ends on Linux
            break
        if not data:
            break
        shown += data
    os.close(terminal)
    return shown, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_passphrase_on_terminal(store, tmp_path):
    """Asked for twice when a dump is made, once when it is read; never shown; two that differ make no dump, nor does an interruption."""
    command = ["dump", "--data", store, "--passphrase", "-o", tmp_path / "sealed"]
    shown, code = on_terminal(command, [(b"Passphrase: ", b"correct horse\n"), (b"Again: ", b"correct house\n")])
    assert code == 1 and b"differ" in shown
    shown, code = on_terminal(command, [(b"Passphrase: ", b"\x03\n")])
    assert code == 1 and b"no passphrase" in shown
    assert not (tmp_path / "sealed").exists()
    shown, code = on_terminal(command, [(b"Passphrase: ", b"correct horse\n"), (b"Again: ", b"correct horse\n")])
    assert code == 0 and b"horse" not in shown
    shown, code = on_terminal(["verify", tmp_path / "sealed", "--passphrase"], [(b"Passphrase: ", b"correct horse\n")])
    assert code == 0 and b"horse" not in shown and b"Again" not in shown
    shown, code = on_terminal(["verify", tmp_path / "sealed", "--passphrase"], [(b"Passphrase: ", b"correct house\n")])
    assert code == 1 and b"does not fit" in shown


def test_encrypted_online(server, store, key_file, tmp_path):
    """A server encrypts as the tool does, and never sees the secret."""
    server.fill(3)
    told = json.loads(allod("dump", "--data", store, "--key-file", key_file, "-o", tmp_path / "sealed", "--json").stdout)
    assert b"no key was given" in allod("verify", tmp_path / "sealed", code=1).stderr
    checked = json.loads(allod("verify", tmp_path / "sealed", "--key-file", key_file, "--json").stdout)
    assert checked["root_hash"] == told["root_hash"] and checked["faults"] == []
    memory = open(f"/proc/{server.child.pid}/mem", "rb") if os.access(f"/proc/{server.child.pid}/mem", os.R_OK) else None
    if memory is None:
        pytest.skip("the server's memory cannot be read here")
    secret = key_file.read_bytes()
    known = os.fsencode(store / "admin.sock")  # made by the server itself: the search finds what is there
    read, is_known_found = 0, False
    with memory, open(f"/proc/{server.child.pid}/maps") as maps:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(x, 16) for x in span.split("-"))
            if "rw" not in rights or end - start > 1 << 28:
                continue
            try:
                memory.seek(start)
                held = memory.read(end - start)
            except (OSError, ValueError):
                continue
            assert secret not in held
            read += len(held)
            is_known_found = is_known_found or known in held
    assert read > 0 and is_known_found


# ---- Incremental dumps ----

def chain_hash(*paths, options=()):
    """The chain is one, and what it gives has the root hash of its last dump."""
    told = allod("verify", *paths, *options).stdout.decode()
    assert "Together they are" in told
    return told.rsplit("Root hash ", 1)[1].split(".")[0]


def add_user(store, name):
    return json.loads(allod("user", "add", "--data", store, "--name", name, "--json").stdout)["id"]


def test_incremental(server, store, tmp_path):
    """Through a server: a full dump and two incrementals, with apps made, changed and deleted, owners made and deleted between
    them, give the very store of the last moment, as a full dump of that moment has it."""
    kept = server.post("/app", APP)["data"]["id"]
    gone = server.post("/app", APP)["data"]["id"]
    server.post(f"/app/{gone}/run_async", {"input": {"n": 1}})
    quiet, leaving = add_user(store, "quiet"), add_user(store, "leaving")
    allod("dump", "--data", store, "-o", tmp_path / "full")

    server.post(f"/app/{kept}/run_async", {"input": {"n": 2}})
    server.delete(f"/app/{gone}")
    allod("user", "delete", leaving, "--data", store)
    came = add_user(store, "came")
    told = json.loads(allod("dump", "--data", store, "--since", tmp_path / "full", "-o", tmp_path / "one", "--json").stdout)
    assert told["gone_owners"] == 1 and told["unchanged_owners"] == 2 and told["whole_owners"] == 0
    assert told["gone_records"] == 2  # the app, and the user's profile
    allod("dump", "--data", store, "-o", tmp_path / "full_one")
    assert told["root_hash"] == root_hash(tmp_path / "one") == root_hash(tmp_path / "full_one")
    data = allod("verify", tmp_path / "one").stdout.decode()
    assert "as in the base" in data

    allod("user", "delete", came, "--data", store)
    server.post("/app", APP)
    told = json.loads(allod("dump", "--data", store, "--since", tmp_path / "one", "-o", tmp_path / "two", "--json").stdout)
    allod("dump", "--data", store, "-o", tmp_path / "full_two")
    assert told["root_hash"] == root_hash(tmp_path / "full_two")
    assert chain_hash(tmp_path / "full", tmp_path / "one", tmp_path / "two") == told["root_hash"]
    assert (tmp_path / "two").stat().st_size < (tmp_path / "full_two").stat().st_size

    allod("restore", tmp_path / "full", tmp_path / "one", tmp_path / "two", "--data", tmp_path / "new")
    allod("dump", "--data", tmp_path / "new", "-o", tmp_path / "again")
    assert root_hash(tmp_path / "again") == told["root_hash"]
    assert b"All is as it should be" in allod("verify", "--data", tmp_path / "new").stdout
    listed = allod("user", "list", "--data", tmp_path / "new").stdout.decode()
    assert quiet in listed and leaving not in listed and came not in listed


def test_incremental_offline(store, tmp_path):
    """The same on the files; where nothing has changed, there is nothing but the index."""
    allod("dump", "--data", store, "-o", tmp_path / "full")
    told = json.loads(allod("dump", "--data", store, "--since", tmp_path / "full", "-o", tmp_path / "none", "--json").stdout)
    assert told["unchanged_owners"] == told["owners"] == 2 and told["records"] == 0
    assert chain_hash(tmp_path / "full", tmp_path / "none") == root_hash(tmp_path / "full")
    add_user(store, "new")
    told = json.loads(allod("dump", "--data", store, "--since", tmp_path / "none", "-o", tmp_path / "one", "--json").stdout)
    allod("dump", "--data", store, "-o", tmp_path / "now")
    assert told["root_hash"] == root_hash(tmp_path / "now") != root_hash(tmp_path / "full")
    assert told["unchanged_owners"] == 2 and told["owners"] == 3
    assert chain_hash(tmp_path / "full", tmp_path / "none", tmp_path / "one") == told["root_hash"]


def test_broken_chains(store, tmp_path):
    """A gap, a wrong order, a full dump in the middle, none in front, a dump of another store, one from before a restore: each is
    refused with the name of the file, by verify with 3, by restore with 1, and nothing is made."""
    full, one, two = tmp_path / "full", tmp_path / "one", tmp_path / "two"
    allod("dump", "--data", store, "-o", full)
    add_user(store, "a")
    allod("dump", "--data", store, "--since", full, "-o", one)
    add_user(store, "b")
    allod("dump", "--data", store, "--since", one, "-o", two)
    allod("init", "--data", tmp_path / "other", "--demo")
    allod("dump", "--data", tmp_path / "other", "-o", tmp_path / "foreign")

    def refused(files, name, text):
        for command, code in ((["verify"], 3), (["restore", "--data", tmp_path / "new"], 1)):
            errors = allod(*command, *files, code=code).stderr.decode()
            assert f"{name}: " in errors and text in errors, errors
        assert not (tmp_path / "new").exists()

    refused([full, two], two, "one between them is missing")
    refused([full, two, one], two, "one between them is missing")
    refused([full, one, one], one, "not based on the one before")
    refused([full, full], full, "must be the first")
    refused([one, two], one, "must come before it")
    refused([tmp_path / "foreign", one], one, "another store")
    assert b"must come before it" in allod("restore", one, "--data", tmp_path / "new", code=1).stderr
    assert b"as they were written" in allod("verify", one).stdout
    errors = allod("dump", "--data", store, "--since", tmp_path / "foreign", "-o", tmp_path / "none", code=1).stderr
    assert b"another store" in errors

    allod("restore", full, one, two, "--data", tmp_path / "new")
    errors = allod("dump", "--data", tmp_path / "new", "--since", two, "-o", tmp_path / "none", code=1).stderr
    assert b"was restored" in errors and not (tmp_path / "none").exists()
    assert b"only a single dump" in allod("restore", "-", one, "--data", tmp_path / "newer", input=b"", code=1).stderr


def test_damaged_base(store, tmp_path):
    """--since a file that is damaged, no dump, or absent makes none."""
    allod("dump", "--data", store, "-o", tmp_path / "full")
    data = bytearray((tmp_path / "full").read_bytes())
    data[-20] ^= 1
    (tmp_path / "damaged").write_bytes(data)
    (tmp_path / "short").write_bytes(data[:5])
    for name in ("damaged", "short", "absent"):
        allod("dump", "--data", store, "--since", tmp_path / name, "-o", tmp_path / "none", code=1)
        assert not (tmp_path / "none").exists()


def test_encrypted_chain(store, key_file, tmp_path):
    """Encrypted dumps are bases and make chains, with the key they share."""
    key = ("--key-file", key_file)
    allod("dump", "--data", store, *key, "-o", tmp_path / "full")
    add_user(store, "a")
    assert b"no key was given" in allod("dump", "--data", store, "--since", tmp_path / "full", "-o", tmp_path / "none", code=1).stderr
    allod("dump", "--data", store, *key, "--since", tmp_path / "full", "-o", tmp_path / "one")
    allod("restore", tmp_path / "full", tmp_path / "one", *key, "--data", tmp_path / "new")
    assert chain_hash(tmp_path / "full", tmp_path / "one", options=key)
    assert b"no key was given" in allod("restore", tmp_path / "full", tmp_path / "one", "--data", tmp_path / "newer", code=1).stderr

