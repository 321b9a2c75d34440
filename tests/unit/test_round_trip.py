"""A store is dumped while it is written to, and restored: what the public API says of it is what the moment of the dump held."""

import http.client
import json
import threading

from test_dump_tool import APP, Server, allod, root_hash, store  # noqa: F401 (a fixture)

APPS = 300  # with their jobs and changes more than a thousand records


def get(server, path):
    connection = http.client.HTTPConnection(server.address, timeout=60)
    connection.request("GET", path, headers={"x-api-key": "12324234"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def ids_of(server):
    ids, path = [], "/app?page_size=1000"
    while path:
        page = json.loads(get(server, path)[1])
        ids += [app["id"] for app in page["data"]]
        path = "/app?page_size=1000&page_token=" + page["next_page_token"] if page.get("next_page_token") else None
    return ids


def test_round_trip(store, tmp_path):
    """All that was there before the dump answers as it did; of what was written meanwhile a first part is there and the rest
    is not; nothing is from after it. A dump of the restored store has the same root hash."""
    server = Server(store)
    before = [server.post("/app", APP)["data"]["id"] for _ in range(APPS)]
    for app in before:
        server.post(f"/app/{app}/run_async", {"input": {"app": app}})
    first, done, meanwhile = threading.Event(), threading.Event(), []

    def write():
        while not done.is_set():
            meanwhile.append(server.post("/app", APP)["data"]["id"])
            first.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert first.wait(60)
        allod("dump", "--data", store, "-o", tmp_path / "dump")
        written = len(meanwhile)
        assert writer.is_alive()
    finally:
        done.set()
        writer.join(60)
    assert not writer.is_alive()
    after = server.post("/app", APP)["data"]["id"]
    paths = [f"/app/{app}" for app in before] + [f"/app/{app}/job" for app in before[::20]]
    said = {path: get(server, path) for path in paths}
    server.stop()

    allod("restore", tmp_path / "dump", "--data", tmp_path / "new")
    server = Server(tmp_path / "new")
    for path in paths:
        assert get(server, path) == said[path] and said[path][0] == 200
    found = set(ids_of(server))
    assert set(before) <= found and after not in found
    inside = [app in found for app in meanwhile]
    assert inside == sorted(inside, reverse=True) and sum(inside) <= written + 1
    assert found == set(before) | set(meanwhile[:sum(inside)])
    server.stop()
    allod("dump", "--data", tmp_path / "new", "-o", tmp_path / "again")
    assert root_hash(tmp_path / "dump") == root_hash(tmp_path / "again")
    assert json.loads(allod("verify", tmp_path / "dump", "--json").stdout)["records"] > 1000
