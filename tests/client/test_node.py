"""@grpc/grpc-js with proto-loader: what client.cjs saw."""

import base64
import json
import os
import shutil
import subprocess

import pytest

import harness
import rpcs


def run_client(server, store, **environment):
    """What client.cjs saw."""
    modules = os.path.join(harness.build_root(), "node", "node_modules")
    assert os.path.isdir(modules), "ninja node"
    protos = [os.path.join(harness.ROOT, "proto"), *(harness.setting(name)
                                                     for name in ("protobuf_protos", "google_protos", "grpc_protos"))]
    command = [shutil.which("node"), os.path.join(os.path.dirname(__file__), "client.cjs"), server.address,
               store.alice.key, store.team,
               store.carol.key, *protos]
    done = subprocess.run(command, capture_output=True, text=True, timeout=harness.BOUND_SECONDS * 2,
                          env={**os.environ, "NODE_PATH": modules, **environment})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def seen(server, store):
    return run_client(server, store)


def test_health(seen):
    assert seen["health"] == {"status": "SERVING"}


def test_app(seen, store):
    made = seen["created"]
    assert (made["name"], made["status"], made["owner_user_id"], made["owner"]) == ("from node",
                                                                                    "APP_STATUS_INITIALIZING",
                                                                                    store.alice.id,
                                                                                   "owner_user_id")
    assert made["configuration"] == {"gpu_tier": "GPU_TIER_PERFORMANCE", "active_workers": 2, "location": ""}
    assert made["workflow"]["tools"] == '{"seed":123456789012345678901234567890}'
    assert made["workflow"]["loras"][0]["weight"] == 0.25
    assert seen["got"] == made
    assert {**seen["updated"], "etag": 0, "updated_at": 0} == {**made, "name": "renamed", "etag": 0, "updated_at": 0}
    assert seen["team_app"]["owner_team_id"] == store.team
    assert seen["after"] == seen["team_app"]
    assert [app["id"] for app in seen["listed"]["apps"]] == [made["id"]]
    assert seen["deleted"] == {}


def test_job(seen):
    assert seen["job"]["status"] == "JOB_STATUS_QUEUED"
    assert seen["read_job"]["input"] == '{"prompt":"h\u00e9llo"}'
    assert [job["id"] for job in seen["jobs"]["jobs"]] == [seen["job"]["id"]]
    assert seen["canceled"]["status"] == "JOB_STATUS_CANCELED"


def test_parallel_calls(seen):
    assert seen["parallel"] == 300


@pytest.mark.parametrize("case,code,text,reason", [
    ("no_key", "UNAUTHENTICATED", "Unauthorized access. Invalid API key.", "INVALID_API_KEY"),
    ("bad_team", "INVALID_ARGUMENT", "x-team-id", None),
    ("stranger_in_team", "PERMISSION_DENIED", "You are not a member of this team.", "NOT_A_MEMBER"),
    ("stranger", "NOT_FOUND", "App with ID", "NOT_FOUND"),
    ("bad_argument", "INVALID_ARGUMENT", "app.name", "BAD_ARGUMENT"), ("too_large", "RESOURCE_EXHAUSTED", "", None),
    ("deadline", "DEADLINE_EXCEEDED", "", None),
    ("gone", "NOT_FOUND", "App with ID", "NOT_FOUND")])
def test_error(seen, case, code, text, reason):
    error = seen["errors"][case]["error"]
    assert error["code"] == code
    assert text in error["details"]
    if reason:
        status = rpcs.Status.FromString(base64.b64decode(error["status"]))
        infos = [rpcs.ErrorInfo.FromString(one.value) for one in status.details if one.Is(rpcs.ErrorInfo.DESCRIPTOR)]
        assert [(info.domain, info.reason) for info in infos] == [("allod", reason)]
