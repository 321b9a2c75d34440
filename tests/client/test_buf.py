"""buf curl: a client that knows the schema by reflection alone."""

import json
import os
import subprocess

import pytest

import harness
from harness import new_id


@pytest.fixture(scope="module")
def buf(server, tmp_path_factory):
    program = os.path.join(harness.build_root(), "node", "node_modules", ".bin", "buf")
    assert os.path.exists(program), "ninja node"
    home = str(tmp_path_factory.mktemp("buf"))

    def run(*words, headers=()):
        command = [program, "curl", "--http2-prior-knowledge", "--protocol", "grpc"]
        for name, value in headers:
            command += ["--header", f"{name}: {value}"]
        path = [word for word in words if word.startswith("/")]
        rest = [word for word in words if not word.startswith("/")]
        return subprocess.run([*command, *rest, f"http://{server.address}{path[0] if path else ''}"],
                              capture_output=True, text=True,
                              cwd=home, env={**os.environ, "HOME": home}, timeout=harness.BOUND_SECONDS)
    return run


def test_list_services(buf):
    done = buf("--list-services")
    assert done.returncode == 0, done.stderr
    assert {"allod.v1.AppService", "allod.v1.JobService", "allod.v1.TeamService",
            "allod.v1.KeyService"} <= set(done.stdout.split())


def test_list_methods(buf):
    done = buf("--list-methods")
    assert done.returncode == 0, done.stderr
    assert "allod.v1.AppService/GetApp" in done.stdout
    assert "AdminService" not in done.stdout


def test_create_and_get(buf, store):
    app = {"name": "by buf", "configuration": {"gpuTier": "GPU_TIER_BASIC"},
           "workflow": {"modelUrl": "https://example.com/model"}}
    done = buf("--data", json.dumps({"app": app}), "/allod.v1.AppService/CreateApp",
               headers=store.alice.headers(store.team))
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["name"], made["ownerTeamId"], made["status"]) == ("by buf", store.team, "APP_STATUS_STOPPED")
    done = buf("--data", json.dumps({"id": made["id"]}), "/allod.v1.AppService/GetApp",
               headers=store.bob.headers(store.team))
    assert json.loads(done.stdout) == made


def test_error(buf, store):
    app_id = new_id()
    done = buf("--data", json.dumps({"id": app_id}), "/allod.v1.AppService/GetApp", headers=store.alice.headers())
    assert done.returncode != 0
    error = json.loads(done.stderr)
    assert (error["code"], error["message"]) == ("not_found", f"App with ID '{app_id}' not found.")
    assert error["details"][0]["type"] == "google.rpc.ErrorInfo"


def test_no_key(buf):
    done = buf("--data", "{}", "/allod.v1.AppService/ListApps")
    assert json.loads(done.stderr)["code"] == "unauthenticated"
