"""A store whose map or disk is full says so in the log, refuses updates, and takes them again once there is room."""

import contextlib
import os
import subprocess
import threading
import time

import pytest

import harness
from harness import APP, JSON

# Each document is a page of its own among other pages: what deleting it frees lies in single pages.
RUN = {"input": {"text": "x" * 3000}}
CLIENTS = 16  # whose updates share commits


def fill(server, app, headers):
    def work():
        http = harness.Http1(server)
        while (status := http("POST", f"/app/{app}/run_async", headers + JSON, RUN).status) == 200:
            pass
        statuses.append(status)
        http.close()

    statuses = []
    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * harness.BOUND_SECONDS)
    assert statuses == [503] * CLIENTS


def test_full_map(tmp_path):
    store = harness.Store(tmp_path / "store")
    headers = store.alice.headers()
    with harness.serving(store.data, "--map-size", "16M") as server:
        http = harness.Http1(server)
        app = http("POST", "/app", headers + JSON, APP).json()["data"]["id"]
        fill(server, app, headers)
        server.wait_for("error store-read-only ")
        assert http("GET", f"/app/{app}", headers).status == 200
        assert http("POST", "/app", headers + JSON, APP).status == 503
        assert http("DELETE", f"/app/{app}", headers).status == 204
        server.wait_for("info store-writable")
        end = time.monotonic() + harness.BOUND_SECONDS
        while http("POST", "/app", headers + JSON, APP).status != 201:
            assert time.monotonic() < end
        http.close()
    assert harness.tool("verify", "--data", store.data).returncode == 0


DISK = 12  # MiB: with the reserve of 2, some 1,500 documents fit


@contextlib.contextmanager
def disk(path):
    """A file system of a few MiB, to fill."""
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}M", "allod-test", path], capture_output=True,
                          text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a file system to fill: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def until(ask, status):
    """Asks again until the answer has this status: the store finds out by itself, within a second or so."""
    end = time.monotonic() + harness.BOUND_SECONDS
    while (answer := ask()).status != status:
        assert time.monotonic() < end, answer
    return answer


def test_limited_files(tmp_path):
    """A limit on the size of files is a full disk, and not the end of the process."""
    store = harness.Store(tmp_path / "store")
    headers = store.alice.headers()
    with harness.serving(store.data, wrapper=["prlimit", f"--fsize={3 << 20}"]) as server:
        full = Disk(server, headers)
        app = full.create().json()["data"]["id"]
        job = full.run(app)
        full.fill(app)
        full.assert_read_only(app, job)
        full.delete(app)
        server.wait_for("info store-writable")
        until(full.create, 201)
        full.http.close()
    assert harness.tool("verify", "--data", store.data).returncode == 0


class Disk:
    """A store on a small disk, and one client of it."""

    def __init__(self, server, headers):
        self.server = server
        self.headers = headers
        self.http = harness.Http1(server)

    def create(self):
        return self.http("POST", "/app", self.headers + JSON, APP)

    def fill(self, app):
        fill(self.server, app, self.headers)
        self.server.wait_for("error store-read-only ")

    def assert_read_only(self, app, job):
        """Reading and canceling go on."""
        assert self.http("GET", f"/app/{app}", self.headers).status == 200
        assert self.http("PUT", f"/app/{app}/job/{job}", self.headers).status == 200

    def run(self, app):
        return self.http("POST", f"/app/{app}/run_async", self.headers + JSON, RUN).json()["job_id"]

    def delete(self, app):
        assert self.http("DELETE", f"/app/{app}", self.headers).status == 204


def test_full_disk(tmp_path):
    """A disk that the store itself has filled: no room comes but from deletions, whose pages stay in the file. Updates
    are refused, the rest goes on, and after deletions updates are taken again, filled again, also by a process that
    finds the disk full when it starts; and once the disk has room the store grows."""
    with disk(tmp_path / "disk") as path:
        store = harness.Store(path / "store")
        headers = store.alice.headers()
        with harness.serving(store.data) as server:
            full = Disk(server, headers)
            small = [full.create().json()["data"]["id"] for _ in range(40)]
            jobs = [full.run(app) for app in small]
            for _ in range(2):
                large = until(full.create, 201).json()["data"]["id"]
                full.fill(large)
                full.assert_read_only(small[-1], jobs[-1])
                full.delete(small.pop())
                jobs.pop()
                full.delete(large)
                server.wait_for("info store-writable")
            large = until(full.create, 201).json()["data"]["id"]
            full.fill(large)
            assert not os.path.exists(path / "store" / "reserve")
            left = (path / "store" / "data.mdb").stat().st_size
            full.http.close()
        with harness.serving(store.data) as server:
            full = Disk(server, headers)
            for app in small[10:]:  # what deletions need is kept back inside the file too
                full.delete(app)
            full.delete(large)
            large = until(full.create, 201).json()["data"]["id"]
            subprocess.run(["mount", "-o", f"remount,size={8 * DISK}M", path], check=True)
            end = time.monotonic() + harness.BOUND_SECONDS
            while (path / "store" / "data.mdb").stat().st_size < left + (DISK << 20):
                fill_some(server, large, headers)
                assert time.monotonic() < end
            assert os.path.exists(path / "store" / "reserve")
            full.http.close()
        assert harness.tool("verify", "--data", store.data).returncode == 0


def fill_some(server, app, headers):
    http = harness.Http1(server)
    for _ in range(100):
        if http("POST", f"/app/{app}/run_async", headers + JSON, RUN).status != 200:
            break
    http.close()
