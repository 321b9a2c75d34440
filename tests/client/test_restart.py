"""Ends and beginnings: SIGTERM with requests under way, kill -9, and what is there afterwards."""

import signal
import threading

import grpc
import pytest

import harness
import rpcs
from harness import APP, JSON, Http1, Raw, Server, Store, serving
from rpcs import V1


@pytest.fixture
def small(tmp_path):
    return Store(tmp_path / "store")


class Load:
    """Threads that create apps until the server refuses; what was acknowledged, and how the rest ended."""

    def __init__(self, server, store, threads=4):
        self.server, self.store = server, store
        self.acknowledged, self.refused, self.running = [], [], threading.Semaphore(0)
        self.threads = [threading.Thread(target=self.by_grpc if i % 2 else self.by_rest) for i in range(threads)]
        for thread in self.threads:
            thread.start()
        for _ in range(threads * 5):
            assert self.running.acquire(timeout=harness.BOUND_SECONDS)

    def by_grpc(self):
        with rpcs.channel(self.server.address) as channel:
            client = rpcs.Client(channel, self.store.alice.headers(self.store.team))
            try:
                while True:
                    self.acknowledged.append(client("CreateApp", app=rpcs.app()).id)
                    self.running.release()
            except grpc.RpcError as error:
                self.refused.append(error.code().name)

    def by_rest(self):
        client = Http1(self.server)
        try:
            while True:
                answer = client("POST", "/app", self.store.alice.headers(self.store.team) + JSON, APP)
                if answer.status != 201:
                    self.refused.append(answer.status)
                    return
                self.acknowledged.append(answer.json()["data"]["id"])
                self.running.release()
        except Exception as error:  # the connection is gone: which errors there are is the library's matter
            self.refused.append(type(error).__name__)
        finally:
            client.close()

    def join(self):
        for thread in self.threads:
            thread.join(timeout=harness.BOUND_SECONDS)
            assert not thread.is_alive()


def ids_of(server, store):
    with rpcs.channel(server.address) as channel:
        client, ids, token = rpcs.Client(channel, store.alice.headers(store.team)), [], ""
        while True:
            reply = client("ListApps", page_size=1000, page_token=token)
            ids += [app.id for app in reply.apps]
            token = reply.next_page_token
            if not token:
                return ids


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drain(small, number):
    """What was acknowledged is there; the process ends with 0, under load."""
    server = Server(small.data)
    load = Load(server, small)
    server.child.send_signal(number)
    server.assert_ended_well()
    load.join()
    assert set(load.refused) <= {"UNAVAILABLE", 503, "RemoteDisconnected", "ConnectionRefusedError",
                                 "ConnectionResetError", "BrokenPipeError",
                                 "CANCELLED", "IncompleteRead", "BadStatusLine"}, load.refused
    with serving(small.data) as again:
        assert set(load.acknowledged) <= set(ids_of(again, small))


def test_kill(small):
    """kill -9 in a write load, three times: nothing that was acknowledged is lost."""
    acknowledged = []
    for _ in range(3):
        server = Server(small.data)
        load = Load(server, small)
        server.kill()
        load.join()
        acknowledged += load.acknowledged
    with serving(small.data) as again:
        ids = ids_of(again, small)
        assert set(acknowledged) <= set(ids)
        assert len(ids) == len(set(ids))
        assert len(ids) - len(acknowledged) <= 3 * 4, "at most what was under way"


def test_drain_ends_watches_and_idle_connections(small):
    """Health tells of the end; what waits for nothing does not hold it up."""
    server = Server(small.data)
    with rpcs.channel(server.address) as channel, Raw(server) as idle, Raw(server) as silent:
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch",
                                     request_serializer=rpcs.HealthCheckRequest.SerializeToString,
                                     response_deserializer=rpcs.HealthCheckResponse.FromString)
        call = watch(rpcs.HealthCheckRequest(), timeout=harness.BOUND_SECONDS)
        assert next(call).status == 1
        idle.send(b"GET /app HTTP/1.1\r\nHost: x\r\nx-api-key: " + small.alice.key.encode() + b"\r\n\r\n")
        assert idle.answer().status == 200
        assert silent
        server.child.send_signal(signal.SIGTERM)
        assert [reply.status for reply in ended(call)] in ([2], []), "NOT_SERVING"
        server.assert_ended_well()


def ended(call):
    try:
        for reply in call:
            yield reply
    except grpc.RpcError as error:
        assert error.code().name == "UNAVAILABLE"


def test_everything_survives_a_restart(small):
    """Apps, jobs, counters, etags, keys, memberships, page tokens."""
    with serving(small.data) as server, rpcs.channel(server.address) as channel:
        client = rpcs.Client(channel, small.alice.headers(small.team))
        app = client("CreateApp", app=rpcs.app(description="d"))
        jobs = [client("RunJob", app_id=app.id, input='{"i":%d}' % i) for i in range(3)]
        client("CancelJob", app_id=app.id, id=jobs[0].id)
        before = client("GetApp", id=app.id)
        page = client("ListJobs", app_id=app.id, page_size=1)
    with serving(small.data) as server, rpcs.channel(server.address) as channel:
        client = rpcs.Client(channel, small.bob.headers(small.team))
        assert client("GetApp", id=app.id) == before
        assert before.jobs.in_queue == 2
        assert client("GetJob", app_id=app.id, id=jobs[1].id).input == '{"i":1}'
        rest = client("ListJobs", app_id=app.id, page_token=page.next_page_token)
        assert [job.id for job in rest.jobs] == [jobs[1].id, jobs[0].id]
        assert client("UpdateApp", app=V1.App(id=app.id, name="n", etag=before.etag)).name == "n"
        assert client("CreateApp", app=rpcs.app()).id > app.id
