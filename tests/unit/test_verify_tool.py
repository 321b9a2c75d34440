"""allod verify --data of a store that a server holds: the same findings and exit codes as on its files, while calls go on."""

import json
import os
import pty
import re
import signal
import subprocess
import threading
import time

from test_dump_tool import ALLOD, APP, TEAM, Server, allod, store  # noqa: F401 (a fixture)


def test_same_as_offline(store):
    """Rows, owners and kinds are counted alike by a server and on its files; the looks of tools are rows themselves."""
    server = Server(store)
    server.fill(3)
    online = json.loads(allod("verify", "--data", store, "--json").stdout)
    assert b"All is as it should be" in allod("verify", "--data", store).stdout
    server.stop()
    offline = json.loads(allod("verify", "--data", store, "--json").stdout)
    assert online["faults"] == offline["faults"] == []
    assert online["kinds"] == offline["kinds"] and online["owners"] == offline["owners"] == 2
    assert online["kinds"]["job"] == 3


def test_fault(store):
    """A flipped byte is told with its owner, by a server too, and the exit code is 3."""
    data = bytearray((store / "data.mdb").read_bytes())
    at = -1
    while (at := data.find(b"Demo team", at + 1)) >= 0:  # pages that are no longer used have it too
        data[at] ^= 1
    (store / "data.mdb").write_bytes(data)
    offline = json.loads(allod("verify", "--data", store, "--json", code=3).stdout)["faults"]
    server = Server(store)
    assert TEAM in allod("verify", "--data", store, code=3).stdout.decode()
    online = json.loads(allod("verify", "--data", store, "--json", code=3).stdout)["faults"]
    server.stop()
    assert online == offline != []


def test_while_written(store):
    """Nothing is found wrong in a store that is well, however much is written meanwhile."""
    server = Server(store)
    app = server.post("/app", APP)["data"]["id"]
    done = threading.Event()

    def write():
        while not done.is_set():
            server.post(f"/app/{app}/run_async", {"input": {"n": 1}})
            server.post("/app", APP)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(10):
            allod("verify", "--data", store)
    finally:
        done.set()
        for writer in writers:
            writer.join(60)
        server.stop()


def probe(store):
    return subprocess.run([ALLOD, "verify", "--data", store], capture_output=True, timeout=60)


def slow_verify(store):
    """One that runs: a probe that began before it makes it give up, then it is begun again."""
    bound = time.monotonic() + 60
    while time.monotonic() < bound:
        child = subprocess.Popen([ALLOD, "verify", "--data", store, "--rate", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while child.poll() is None:
            if b"being verified" in probe(store).stderr:
                return child
        child.communicate()
    raise AssertionError("it does not start")


def test_slow_and_interrupted(store):
    """--rate bounds it; a second one is told to wait; SIGINT and SIGTERM end it with 1, and the next one is served."""
    server = Server(store)
    server.fill(20)
    for number in (signal.SIGINT, signal.SIGTERM):
        child = slow_verify(store)
        child.send_signal(number)
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 1 and b"interrupted" in errors
        bound = time.monotonic() + 60
        while probe(store).returncode != 0:
            assert time.monotonic() < bound
    slow = slow_verify(store)
    server.stop()
    _, errors = slow.communicate(timeout=60)
    assert slow.returncode == 1 and b"The server is shutting down" in errors, errors
    for wrong in ("0", "x", "-1", ""):
        allod("verify", "--data", store, "--rate", wrong, code=2)
    allod("verify", os.devnull, "--rate", "1", code=2)


def events_of(*arguments, code=0, **options):
    """What a tool tells on its --status-fd."""
    reader, writer = os.pipe()
    child = subprocess.Popen([ALLOD, *map(str, arguments), "--status-fd", str(writer)], pass_fds=[writer], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, **options)
    os.close(writer)
    with open(reader) as file:
        events = [json.loads(line) for line in file]
    child.communicate(timeout=60)
    assert child.returncode == code
    return events


def test_events(store, tmp_path):
    """dump, verify and restore tell their start and their end, with the exit code, on the descriptor that is given."""
    dump = tmp_path / "dump"
    for arguments in (("dump", "--data", store, "-o", dump), ("verify", dump), ("verify", "--data", store), ("restore", dump, "--data", tmp_path / "new")):
        events = events_of(*arguments)
        assert events[0]["event"] == "start" and events[-1] == {"event": "end", "exit_code": 0}
    dump.write_bytes(dump.read_bytes()[:-1])
    assert events_of("verify", dump, code=3)[-1] == {"event": "end", "exit_code": 3}
    assert events_of("restore", dump, "--data", tmp_path / "none", code=1)[-1]["exit_code"] == 1
    for wrong in ("x", "", "-1", "999"):
        allod("verify", dump, "--status-fd", wrong, code=2)


def test_progress_events(store, tmp_path):
    """Bytes, all there are and the rate, while it goes on; after SIGTERM the end is told with 1, and no file is left."""
    server = Server(store)
    server.fill(60)  # several slices of a verify, each of 4 MiB: the first that is told is not the last
    for arguments in (("dump", "--data", store, "-o", tmp_path / "slow"), ("verify", "--data", store)):
        reader, writer = os.pipe()
        child = subprocess.Popen([ALLOD, *map(str, arguments), "--rate", "1", "--status-fd", str(writer)], pass_fds=[writer],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(writer)
        with open(reader) as file:
            events = (json.loads(line) for line in file)
            seen = next(event for event in events if event["event"] == "progress")
            assert seen["done"] > 0 and seen["bytes_per_second"] > 0 and "total" in seen
            child.send_signal(signal.SIGTERM)
            assert list(events)[-1] == {"event": "end", "exit_code": 1}
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 1 and b"interrupted" in errors
        assert sorted(os.listdir(tmp_path)) == ["store"]
    server.stop()


def test_bar(store):
    """On a terminal there is a bar with bytes, rate and time left, which is taken away; SIGINT ends it with 1."""
    server = Server(store)
    server.fill(20)
    server.stop()
    ours, theirs = pty.openpty()
    child = subprocess.Popen([ALLOD, "verify", "--data", store, "--rate", "1"], stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    while not re.search(rb"Checking \[#*\.*\]  [^,]* of [^,]*, [^,]*/s, \d+ s left", seen):
        seen += os.read(ours, 1000)
    child.send_signal(signal.SIGINT)
    try:
        while more := os.read(ours, 1000):
            seen += more
    except OSError:  # a terminal whose other end is closed
        pass
    os.close(ours)
    assert child.wait(60) == 1 and b"interrupted" in seen and b"\r\x1b[K" in seen
