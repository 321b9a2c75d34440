"""allod verify --data of a store that a server holds: the same findings and exit codes as on its files, while calls go on."""

import json
import os
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
    slow = subprocess.Popen([ALLOD, "verify", "--data", store, "--rate", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server.stop()
    slow.wait(60)
    for wrong in ("0", "x", "-1", ""):
        allod("verify", "--data", store, "--rate", wrong, code=2)
    allod("verify", os.devnull, "--rate", "1", code=2)
