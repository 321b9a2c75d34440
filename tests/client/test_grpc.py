"""AppService and JobService by python3-grpcio: replies, codes, details, masks, pages, deadlines, bytes."""

import json
import struct
import threading
import time

import grpc
import pytest

import harness
import rpcs
from harness import new_id
from rpcs import V1, Failure, app


@pytest.fixture(scope="module")
def made(alice):
    return alice("CreateApp", app=app())


def lora(**changes):
    fields = dict(id="l1", version_id="v1", download_url="https://example.com/l1", name="one", weight=0.5)
    return V1.Lora(**{**fields, **changes})


# ---- Apps ----

def test_create(alice, store):
    before = int(time.time())
    got = alice("CreateApp", app=app(description="d"))
    assert got.id == str(harness.uuid.UUID(got.id)) and harness.uuid.UUID(got.id).version == 7
    assert (got.name, got.description, got.status) == ("app", "d", V1.APP_STATUS_STOPPED)
    assert (got.created_by, got.owner_user_id, got.WhichOneof("owner")) == (store.alice.id, store.alice.id,
                                                                            "owner_user_id")
    assert got.created_at == got.updated_at and before - 1 <= got.created_at.seconds <= time.time() + 1
    assert got.etag and got.HasField("jobs") and got.HasField("workers")
    assert got == alice("GetApp", id=got.id)
    assert got == alice("GetApp", id=got.id.upper())


def test_create_in_team(alice_in_team, bob_in_team, store):
    got = alice_in_team("CreateApp", app=app())
    assert (got.owner_team_id, got.created_by, got.WhichOneof("owner")) == (store.team, store.alice.id, "owner_team_id")
    assert bob_in_team("GetApp", id=got.id) == got


def test_output_only_fields_are_ignored(alice, store):
    got = alice("CreateApp", app=app(status=V1.APP_STATUS_RUNNING, created_by=store.bob.id, owner_team_id=store.team,
                                     etag="x",
                                     jobs=V1.JobCounts(completed=5), workers=V1.WorkerCounts(idle=1)))
    assert (got.status, got.created_by, got.owner_user_id) == (V1.APP_STATUS_STOPPED, store.alice.id, store.alice.id)
    assert (got.jobs.completed, got.workers.idle) == (0, 0)


def test_validate_only(alice):
    count = len(alice("ListApps", page_size=1000).apps)
    got = alice("CreateApp", app=app(), validate_only=True)
    assert got.name == "app"
    assert alice.outcome("GetApp", id=got.id) == "NOT_FOUND"
    assert len(alice("ListApps", page_size=1000).apps) == count
    real = alice("CreateApp", app=app())
    assert alice("UpdateApp", app=V1.App(id=real.id, name="n"), validate_only=True).name == "n"
    assert alice("GetApp", id=real.id) == real
    assert alice.outcome("UpdateApp", app=V1.App(id=real.id, name="x" * 201), validate_only=True) == "INVALID_ARGUMENT"


BAD_APPS = {
    "app": lambda a: None,
    "app.id": lambda a: a.__setattr__("id", new_id()),
    "app.name": lambda a: a.__setattr__("name", "x" * 201),
    "app.description": lambda a: a.__setattr__("description", "x" * 4001),
    "app.configuration": lambda a: a.ClearField("configuration"),
    "app.configuration.gpu_tier": lambda a: a.configuration.__setattr__("gpu_tier", 0),
    "app.configuration.active_workers": lambda a: a.configuration.__setattr__("active_workers", 1001),
    "app.configuration.location": lambda a: a.configuration.__setattr__("location", "x" * 201),
    "app.workflow": lambda a: a.ClearField("workflow"),
    "app.workflow.model_url": lambda a: a.workflow.__setattr__("model_url", "ftp://x"),
    "app.workflow.tools": lambda a: a.workflow.__setattr__("tools", "[]"),
    "app.workflow.loras[0].weight": lambda a: a.workflow.loras.append(lora(weight=float("nan"))),
    "app.workflow.loras[0].version_id": lambda a: a.workflow.loras.append(lora(version_id="")),
    "app.workflow.loras[1].id": lambda a: a.workflow.loras.extend([lora(), lora()]),
}


@pytest.mark.parametrize("field", BAD_APPS)
def test_bad_app(alice, field):
    """BadRequest names the field from the request's root; the sentence does too."""
    request = V1.CreateAppRequest(app=app())
    if field == "app":
        request.ClearField("app")
    else:
        BAD_APPS[field](request.app)
    failure = alice.fails("CreateApp", request)
    assert failure.code == "INVALID_ARGUMENT"
    assert (failure.info.domain, failure.info.reason) == ("allod", "BAD_ARGUMENT")
    assert any(named.startswith(field) for named in failure.fields), failure
    assert field in failure.text


def test_all_bad_fields_are_named(alice):
    bad = app(name="x" * 201, description="x" * 4001)
    bad.configuration.gpu_tier = 0
    bad.workflow.model_url = "x"
    failure = alice.fails("CreateApp", app=bad)
    assert {"app.name", "app.description", "app.configuration.gpu_tier",
            "app.workflow.model_url"} <= set(failure.fields), failure


@pytest.mark.parametrize("tools", ["{", "[]", '"x"', "null", "{'a':1}", '{"a":NaN}', '{"a":1,"a":2}', "{}{}",
                                   '{"loras":[]}', "{}x"])
def test_bad_tools(alice, tools):
    bad = app()
    bad.workflow.tools = tools
    failure = alice.fails("CreateApp", app=bad)
    assert failure.code == "INVALID_ARGUMENT"
    assert any("tools" in field for field in failure.fields), failure


def test_request_id_is_reserved(alice, made):
    assert "request_id" in alice.fails("CreateApp", app=app(), request_id="x").fields
    assert "request_id" in alice.fails("RunJob", app_id=made.id, input="{}", request_id="x").fields


# ---- Update ----

def updated(alice, changes, paths, start=None):
    first = alice("CreateApp", app=start or app(description="d"))
    changes.id = first.id
    return first, alice("UpdateApp", app=changes, update_mask={"paths": paths} if paths is not None else None)


def test_without_mask_what_is_not_default_is_set(alice):
    first, got = updated(alice, V1.App(name="n", configuration=V1.Configuration(active_workers=3)), None)
    assert (got.name, got.description, got.configuration.active_workers) == ("n", "d", 3)
    assert got.configuration.gpu_tier == V1.GPU_TIER_STANDARD
    assert got.status == V1.APP_STATUS_INITIALIZING
    assert got.etag != first.etag


def test_mask_says_what_is_set(alice):
    first, got = updated(alice, V1.App(name="n", description="ignored"), ["name"])
    assert (got.name, got.description) == ("n", "d")


def test_naming_a_field_clears_it(alice):
    first, got = updated(alice, V1.App(), ["description"])
    assert got.description == ""
    first, got = updated(alice, V1.App(), ["configuration.active_workers"],
                         app(configuration=V1.Configuration(active_workers=4)))
    assert (first.configuration.active_workers, got.configuration.active_workers) == (4, 0)
    assert got.status == V1.APP_STATUS_STOPPED


@pytest.mark.parametrize("path", ["id", "etag", "status", "created_at", "updated_at", "created_by", "jobs", "workers",
                                  "owner_user_id",
                                  "owner_team_id"])
def test_output_only_paths_are_ignored(alice, made, store, path):
    """https://google.aip.dev/203: what a client cannot set may be named, and stays as it is."""
    change = V1.App(id=made.id, status=V1.APP_STATUS_RUNNING, created_by=store.bob.id, jobs=V1.JobCounts(failed=3))
    got = alice("UpdateApp", app=change, update_mask={"paths": [path]})
    for moved in ("updated_at", "etag"):
        got.ClearField(moved)
    want = V1.App.FromString(made.SerializeToString())
    want.ClearField("updated_at")
    want.ClearField("etag")
    assert got == want


@pytest.mark.parametrize("path", ["nam", "name.x", "jobs.completed", "*", "", "configuration.x", "Name",
                                  "workflow.loras.weight", "app.name",
                                  " name"])
def test_bad_mask(alice, made, path):
    failure = alice.fails("UpdateApp", app=V1.App(id=made.id, name="n"), update_mask={"paths": [path]})
    assert failure.code == "INVALID_ARGUMENT"
    assert "update_mask" in " ".join(failure.fields), failure
    assert alice("GetApp", id=made.id).name == made.name


def test_required_fields_cannot_be_cleared(alice, made):
    for path in ("name", "workflow.model_url"):
        failure = alice.fails("UpdateApp", app=V1.App(id=made.id), update_mask={"paths": [path]})
        assert (failure.code, any(path in field for field in failure.fields)) == ("INVALID_ARGUMENT", True), failure


def test_what_never_changes(alice, made):
    for change in (V1.Configuration(gpu_tier=V1.GPU_TIER_BASIC), V1.Configuration(location="x")):
        failure = alice.fails("UpdateApp", app=V1.App(id=made.id, configuration=change))
        assert failure.code == "INVALID_ARGUMENT", failure
    same = alice("UpdateApp", app=V1.App(id=made.id, configuration=V1.Configuration(gpu_tier=V1.GPU_TIER_STANDARD)))
    assert same.configuration == made.configuration


def test_loras(alice):
    start = app()
    start.workflow.loras.extend([lora(), lora(id="l2")])
    first = alice("CreateApp", app=start)
    change = V1.App(id=first.id, workflow=V1.Workflow(loras=[lora(id="l2", weight=2), lora()]))
    got = alice("UpdateApp", app=change, update_mask={"paths": ["workflow.loras"]})
    assert {entry.id: entry.weight for entry in got.workflow.loras} == {"l1": 0.5, "l2": 2}
    for wrong in ([lora()], [], [lora(), lora(id="l3")], [lora(), lora(id="l2", name="x")]):
        failure = alice.fails("UpdateApp", app=V1.App(id=first.id, workflow=V1.Workflow(loras=wrong)),
                              update_mask={"paths": ["workflow.loras"]})
        assert failure.code == "INVALID_ARGUMENT", failure


def test_tools_merge(alice):
    start = app()
    start.workflow.tools = '{"a":1.50,"b":{"c":1}}'
    first = alice("CreateApp", app=start)
    got = alice("UpdateApp", app=V1.App(id=first.id, workflow=V1.Workflow(tools='{"b":null,"d":0.10}')))
    assert json.loads(got.workflow.tools) == {"a": 1.5, "d": 0.1}
    assert '1.50' in got.workflow.tools and "0.10" in got.workflow.tools


def test_etag(alice):
    first = alice("CreateApp", app=app())
    second = alice("UpdateApp", app=V1.App(id=first.id, name="second", etag=first.etag))
    failure = alice.fails("UpdateApp", app=V1.App(id=first.id, name="third", etag=first.etag))
    assert (failure.code, failure.info.reason) == ("ABORTED", "ETAG_MISMATCH")
    assert alice.fails("DeleteApp", id=first.id, etag=first.etag).code == "ABORTED"
    alice("RunJob", app_id=first.id, input="{}")
    assert alice("GetApp", id=first.id).etag == second.etag
    alice("DeleteApp", id=first.id, etag=second.etag)
    assert alice.outcome("GetApp", id=first.id) == "NOT_FOUND"


# ---- Absence ----

@pytest.mark.parametrize("app_id", ["", "x", new_id(), "{" + new_id() + "}", "x" * 10_000])
def test_absent_app(alice, app_id):
    calls = [("GetApp", dict(id=app_id)), ("DeleteApp", dict(id=app_id)),
             ("UpdateApp", dict(app=V1.App(id=app_id, name="n"))),
             ("RunJob", dict(app_id=app_id, input="{}")), ("ListJobs", dict(app_id=app_id)),
             ("GetJob", dict(app_id=app_id, id=new_id())),
             ("CancelJob", dict(app_id=app_id, id=new_id()))]
    for method, fields in calls:
        failure = alice.fails(method, **fields)
        assert failure.code == "NOT_FOUND", (method, failure)
        assert (failure.info.domain, failure.info.reason) == ("allod", "NOT_FOUND")
        assert failure.text.startswith("App with ID '") and failure.text.endswith("' not found.")
        if len(app_id) < 100:
            assert failure.text == f"App with ID '{app_id}' not found."


# ---- Jobs ----

def test_job_life(alice, store):
    parent = alice("CreateApp", app=app())
    document = ' {"n":1.10, "big":123456789012345678901234567890} '
    job = alice("RunJob", app_id=parent.id, input=document)
    assert (job.app_id, job.status, job.created_by) == (parent.id, V1.JOB_STATUS_QUEUED, store.alice.id)
    assert (job.attempt, job.result, job.error, job.HasField("execution_time")) == (0, "", "", False)
    whole = alice("GetJob", id=job.id, app_id=parent.id)
    assert whole.input.strip() == document.strip()
    assert whole.etag == job.etag != ""
    assert alice("GetApp", id=parent.id).jobs.in_queue == 1
    canceled = alice("CancelJob", id=job.id, app_id=parent.id)
    assert canceled.status == V1.JOB_STATUS_CANCELED and canceled.etag != job.etag
    assert alice("CancelJob", id=job.id, app_id=parent.id) == canceled
    assert alice("GetJob", id=job.id, app_id=parent.id).status == V1.JOB_STATUS_CANCELED
    assert alice("GetApp", id=parent.id).jobs.in_queue == 0


def test_list_jobs(alice):
    parent = alice("CreateApp", app=app())
    jobs = [alice("RunJob", app_id=parent.id, input='{"i":%d}' % i).id for i in range(5)]
    alice("CancelJob", id=jobs[1], app_id=parent.id)
    basic = alice("ListJobs", app_id=parent.id)
    assert [job.id for job in basic.jobs] == jobs[::-1]
    assert {job.input for job in basic.jobs} == {""}
    assert basic.next_page_token == ""
    full = alice("ListJobs", app_id=parent.id, view=V1.JOB_VIEW_FULL)
    assert [job.input for job in full.jobs] == ['{"i":%d}' % i for i in range(4, -1, -1)]
    assert [job.id for job in alice("ListJobs", app_id=parent.id, status=V1.JOB_STATUS_CANCELED).jobs] == [jobs[1]]
    assert len(alice("ListJobs", app_id=parent.id, status=V1.JOB_STATUS_QUEUED).jobs) == 4
    assert len(alice("ListJobs", app_id=parent.id, status=V1.JOB_STATUS_FAILED).jobs) == 0


@pytest.mark.parametrize("document", ["", "[]", "x", "null", "{", '{"a":01}', '{"a":1}{', "{'a':1}",
                                      '{"a":"' + "\x01" + '"}', "1"])
def test_bad_input(alice, made, document):
    failure = alice.fails("RunJob", app_id=made.id, input=document)
    assert failure.code == "INVALID_ARGUMENT"
    assert "input" in failure.fields, failure


def test_absent_job(alice, made):
    for job_id in (new_id(), "x", ""):
        for method in ("GetJob", "CancelJob"):
            failure = alice.fails(method, app_id=made.id, id=job_id)
            assert (failure.code, failure.text) == ("NOT_FOUND",
                                                    f"Job with ID '{job_id}' not found for App ID '{made.id}'.")


# ---- Pages ----

@pytest.fixture(scope="module")
def thousand(dave):
    """Twelve hundred apps; the writer takes them together."""
    stub = dave.stub("CreateApp")
    request = V1.CreateAppRequest(app=app())
    futures = [stub.future(request, metadata=dave.metadata) for _ in range(1200)]
    made = [future.result(timeout=harness.BOUND_SECONDS).id for future in futures]
    return sorted(made, reverse=True)


@pytest.mark.parametrize("page_size", [0, 1, 7, 100, 999, 1000])
def test_pages(dave, thousand, page_size):
    """Across many records: each once, newest first, and full pages but for the last."""
    want = [one.id for one in walk(dave, 1000)]
    assert set(thousand) <= set(want) and want == sorted(want, reverse=True)
    if page_size == 1:
        assert [one.id for one in walk(dave, 1, 50)] == want[:50]
    else:
        assert [one.id for one in walk(dave, page_size)] == want


def walk(client, page_size, pages=1 << 30):
    token = ""
    while pages > 0:
        pages -= 1
        reply = client("ListApps", page_size=page_size, page_token=token)
        assert len(reply.apps) == (page_size or 100) or reply.next_page_token == ""
        yield from reply.apps
        token = reply.next_page_token
        if token == "":
            return


@pytest.mark.parametrize("method,extra", [("ListApps", None), ("ListJobs", "app"), ("ListTeams", None), ("ListKeys", None),
                                          ("ListInvitations", None), ("ListMembers", "team")])
@pytest.mark.parametrize("fields,named", [(dict(page_size=-1), "page_size"), (dict(page_size=1001), "page_size"),
                                          (dict(page_size=-2**31), "page_size"), (dict(page_token="x"), "page_token"),
                                          (dict(page_token="A" * 200), "page_token"),
                                          (dict(page_token="="), "page_token")])
def test_bad_page(alice, made, store, method, extra, fields, named):
    extra = {"app": dict(app_id=made.id), "team": dict(team_id=store.team)}.get(extra, {})
    failure = alice.fails(method, **extra, **fields)
    assert failure.code == "INVALID_ARGUMENT", failure
    assert named in failure.text


def test_page_token_is_bound(dave, alice, thousand, store):
    token = dave("ListApps", page_size=1).next_page_token
    assert token
    assert alice.outcome("ListApps", page_token=token) == "INVALID_ARGUMENT"
    assert dave.by(store.dave.headers(store.team)).outcome("ListApps", page_token=token) == "INVALID_ARGUMENT"
    assert dave.outcome("ListTeams", page_token=token) == "INVALID_ARGUMENT"
    for position in range(0, len(token), 5):
        broken = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1:]
        assert dave.outcome("ListApps", page_token=broken) == "INVALID_ARGUMENT"


# ---- The wire ----

def field(number, payload):
    return bytes([number << 3 | 2]) + varint(len(payload)) + payload


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


GOOD = app().SerializeToString()

RAW = {
    "NUL in a name": (field(1, GOOD + field(2, b"a\0b")), "INVALID_ARGUMENT"),
    "NUL in an id": (field(1, GOOD + field(1, b"\0")), "INVALID_ARGUMENT"),
    "bad UTF-8": (field(1, GOOD + field(2, b"\xff")), "INVALID_ARGUMENT"),
    "overlong UTF-8": (field(1, GOOD + field(2, b"\xc0\x80")), "INVALID_ARGUMENT"),
    "surrogate": (field(1, GOOD + field(2, b"\xed\xa0\x80")), "INVALID_ARGUMENT"),
    "unknown enum value": (field(1, GOOD + field(4, b"\x08\x63")), "INVALID_ARGUMENT"),
    "negative enum value": (field(1, GOOD + field(4, b"\x08" + b"\xff" * 9 + b"\x01")), "INVALID_ARGUMENT"),
    "cut": (field(1, GOOD)[:-1], "INTERNAL"),
    "length past the end": (b"\x0a\xff\xff\xff\xff\x07", "INTERNAL"),
    "endless varint": (b"\x18" + b"\xff" * 11, "INTERNAL"),
    "field number 0": (b"\x02\x00", "INTERNAL"),
    "wire type 7": (b"\x0f", "INTERNAL"),
    "open group": (b"\x0b", "INTERNAL"),
    "wrong wire type for a message": (b"\x08\x01", "INTERNAL"),
    "no fields": (b"", "INVALID_ARGUMENT"),
    "unknown fields": (field(1, GOOD + field(99 - 84, b"x")) + field(15, b"\xff\0") + b"\x68\x07", "OK"),
    "unknown fixed fields": (field(1, GOOD) + b"\x71" + b"x" * 8 + b"\x7d" + b"x" * 4, "OK"),
    "a message twice": (field(1, field(2, b"first")) + field(1, GOOD), "INVALID_ARGUMENT"),
    "last name wins": (field(1, GOOD + field(2, b"second")), "OK"),
    "10,000 empty loras": (field(1, GOOD + field(5, field(2, b"") * 10_000)), "INVALID_ARGUMENT"),
    "a million empty loras": (field(1, GOOD + field(5, field(2, b"") * 1_000_000)), "INVALID_ARGUMENT"),
}


@pytest.mark.parametrize("form", RAW)
def test_raw_bytes(alice, form):
    message, want = RAW[form]
    assert alice.outcome("CreateApp", message) == want
    assert alice.outcome("ListApps", page_size=1) == "OK"


def framed(message):
    data = message.SerializeToString()
    return struct.pack(">BI", 0, len(data)) + data


def test_unknown_fields_are_not_stored(alice):
    made = alice("CreateApp", field(1, GOOD + field(15, b"secret")))
    assert b"secret" not in alice("GetApp", id=made.id).SerializeToString()


@pytest.mark.parametrize("size,code", [((4 << 20) - 200, "INVALID_ARGUMENT"), (5 << 20, "RESOURCE_EXHAUSTED"),
                                       (20 << 20, "RESOURCE_EXHAUSTED")])
def test_message_limit(alice, size, code):
    assert alice.outcome("CreateApp", app=app(description="x" * size)) == code
    assert alice.outcome("ListApps", page_size=1) == "OK"


def test_large_message_passes(alice, made):
    document = '{"x":"' + "y" * (3 << 20) + '"}'
    job = alice("RunJob", app_id=made.id, input=document)
    assert alice("GetJob", id=job.id, app_id=made.id).input == document


@pytest.mark.parametrize("path", ["/allod.v1.AppService/Nothing", "/allod.v1.Nothing/GetApp", "/nothing",
                                  "/allod.v1.AppService/getApp",
                                  "/allod.v1.AppService/GetApp/", "/allod.v1.AppService//GetApp", "/AppService/GetApp",
                                  "/"])
def test_unknown_method(alice, channel, path):
    call = channel.unary_unary(path)
    with pytest.raises(grpc.RpcError) as caught:
        call(b"", metadata=alice.metadata, timeout=60)
    assert Failure(caught.value).code == "UNIMPLEMENTED"


@pytest.mark.parametrize("method", [method.name for method in rpcs.methods("AdminService")])
def test_admin_is_not_public(alice, channel, method):
    """The same answer as for a method that does not exist."""
    failure = alice.fails(method, b"")
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/allod.v1.AdminService/Nothing")(b"", metadata=alice.metadata, timeout=60)
    nothing = Failure(caught.value)
    assert failure.code == nothing.code == "UNIMPLEMENTED"
    assert failure.text == nothing.text


@pytest.mark.parametrize("name", [method.name for service in rpcs.PUBLIC for method in rpcs.methods(service)])
def test_every_method_wants_a_key(channel, name):
    failure = rpcs.Client(channel).fails(name, b"")
    assert (failure.code, failure.text) == ("UNAUTHENTICATED", "Unauthorized access. Invalid API key.")


def test_compression_is_refused(alice, made):
    """A compressed message is not understood, and says so."""
    with pytest.raises(grpc.RpcError) as caught:
        alice.stub("GetApp")(V1.GetAppRequest(id=made.id), metadata=alice.metadata, timeout=60,
                             compression=grpc.Compression.Gzip)
    assert caught.value.code().name == "UNIMPLEMENTED"


def test_percent_encoded_text(alice):
    """What a person wrote comes back in the message, whatever its letters."""
    assert alice.fails("GetApp", id="na\u00efve %41 100%").text == "App with ID 'na\u00efve %41 100%' not found."


# ---- Time ----

def framed(message):
    data = message.SerializeToString()
    return struct.pack(">BI", 0, len(data)) + data


@pytest.mark.parametrize("timeout,status", [("0n", "4"), ("0S", "4"), ("1H", None), ("99999999H", None),
                                            ("100000000S", "3"), ("x", "3"),
                                            ("1", "3"), ("-1S", "3"), ("1 S", "3"), ("S", "3")])
@pytest.mark.parametrize("path", ["/allod.v1.AppService/GetApp", "/allod.v1.JobService/RunJob"])
def test_timeouts(http2, alice, path, timeout, status):
    """A deadline that has passed is told by the server; one that is none is an error, never no deadline.

    These are answered before any message, so none is sent: curl 7.88 may wait for ever when an answer of status 200
    overtakes its body.
    """
    headers = alice.metadata + [("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", timeout)]
    answer = http2("POST", path, headers)
    assert answer.status == 200
    if status is not None:
        assert answer.headers["grpc-status"] == status
    else:
        assert answer.headers["grpc-status"] not in ("3", "4")


def test_cancellation(channel, alice, made):
    """A canceled call ends at once, its connection goes on; so does a watch that is left."""
    future = alice.stub("GetJob").future(V1.GetJobRequest(), metadata=alice.metadata)
    future.cancel()
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch",
                                 request_serializer=rpcs.HealthCheckRequest.SerializeToString,
                                 response_deserializer=rpcs.HealthCheckResponse.FromString)
    call = watch(rpcs.HealthCheckRequest(), timeout=60)
    assert next(call).status == 1
    call.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code().name == "CANCELLED"
    assert alice.outcome("GetApp", id=made.id) == "OK"


def test_watch_ends_at_its_deadline(channel):
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch",
                                 request_serializer=rpcs.HealthCheckRequest.SerializeToString,
                                 response_deserializer=rpcs.HealthCheckResponse.FromString)
    call = watch(rpcs.HealthCheckRequest(), timeout=0.2)
    assert next(call).status == 1
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code().name == "DEADLINE_EXCEEDED"


def test_many_calls_at_once(alice, made):
    """More than the streams of one connection: they wait, none fails."""
    stub = alice.stub("GetApp")
    futures = [stub.future(V1.GetAppRequest(id=made.id), metadata=alice.metadata) for _ in range(2000)]
    assert {future.result(timeout=harness.BOUND_SECONDS).id for future in futures} == {made.id}


def test_writes_at_once_from_threads(server, store):
    """Group commit keeps every one of them and its counters."""
    parent = None
    errors = []

    def work():
        with rpcs.channel(server.address) as own:
            client = rpcs.Client(own, store.bob.headers())
            for _ in range(25):
                try:
                    client("RunJob", app_id=parent.id, input="{}")
                except grpc.RpcError as error:
                    errors.append(error)

    with rpcs.channel(server.address) as own:
        client = rpcs.Client(own, store.bob.headers())
        parent = client("CreateApp", app=app())
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=harness.BOUND_SECONDS)
        assert errors == []
        assert client("GetApp", id=parent.id).jobs.in_queue == 200
        assert len(client("ListJobs", app_id=parent.id, page_size=1000).jobs) == 200


def test_content_types(http2, alice, made):
    """application/grpc in its forms; others are refused before a call exists."""
    body = framed(V1.GetAppRequest(id=made.id))
    headers = alice.metadata + [("te", "trailers")]
    for content_type, status in [("application/grpc", 200), ("application/grpc+proto", 200),
                                 ("application/grpc;charset=x", 200),
                                 ("application/grpcx", 415), ("application/json", 415)]:
        answer = http2("POST", "/allod.v1.AppService/GetApp", headers + [("content-type", content_type)], body)
        assert answer.status == status, (content_type, answer)
