"""A store whose map is full says so in the log, refuses updates, and takes them again once there is room."""

import threading
import time

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
