"""The published guide on team context: its requests run as `allod init --demo` prints them, but for the port."""

import json
import re
import subprocess

import pytest

import harness
from harness import JSON, Curl, Person, serving, tool

USER = "ee4988a7-48e2-44ae-81f5-178a44ebeb58"
TEAM = "123e4567-e89b-12d3-a456-426614174000"
KEY = "12324234"
DEMO = [("x-api-key", KEY)]

ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"


class Demo:
    def __init__(self, data):
        answer = tool("init", "--data", data, "--demo")
        assert answer.returncode == 0, answer.stderr
        self.commands = re.findall(r"^curl .*?\n}'$", answer.stdout, re.M | re.S)
        self.member = Person(data, "member")
        self.stranger = Person(data, "stranger")
        added = tool("member", "add", TEAM, self.member.id, "MEMBER", "--data", data)
        assert added.returncode == 0, added.stderr

    def run(self, server, command):
        """A printed command, through a shell; the head is asked for beside it."""
        command = command.replace("127.0.0.1:8080", server.address).replace("curl ",
                                                                            "curl --silent --show-error --include ", 1)
        done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=harness.BOUND_SECONDS)
        assert done.returncode == 0, done.stderr
        return harness.parse_answer(done.stdout)


def expected(name, description, created_by, owner_user, owner_team):
    """The text of an app as created, a pattern for what the server makes."""
    def text(value):
        return "null" if value is None else f'"{re.escape(value)}"'
    return (r'\{"data":\{"configuration":\{"active_workers":0,"gpu_tier":"STANDARD"\},'
            rf'"created_at":"{TIME}","created_by":{text(created_by)},"description":{text(description)},"id":"({ID})",'
            rf'"name":{text(name)},"owner_team_id":{text(owner_team)},"owner_user_id":{text(owner_user)},"status":"STOPPED",'
            rf'"updated_at":"{TIME}","workflow":\{{"model_url":"https://huggingface\.co/example-model","tools":\{{\}}\}}\}}\}}')


def test_the_guide(tmp_path):
    """From an empty directory to a team app that the right people see."""
    data = str(tmp_path / "store")
    demo = Demo(data)
    assert len(demo.commands) == 2
    with_team, personal = demo.commands
    assert f"x-team-id: {TEAM}" in with_team and "x-team-id" not in personal
    assert all('example-model",\n}' in command for command in demo.commands), "the trailing comma is part of the guide"

    with serving(data) as server:
        web = Curl(server, "--http1.1")
        made = demo.run(server, with_team)
        assert made.status == 201, made
        assert made.headers["content-type"] == "application/json"
        match = re.fullmatch(expected("Team App", "An app shared with the team", USER, None, TEAM), made.body.decode())
        assert match, made.body
        team_app = match.group(1)

        own = demo.run(server, personal)
        assert own.status == 201, own
        match = re.fullmatch(expected("Team App", "An app shared with the team", USER, USER, None), own.body.decode())
        assert match, own.body
        personal_app = match.group(1)

        in_team = [("x-team-id", TEAM)]
        member = demo.member.headers()
        stranger = demo.stranger.headers()

        seen = web("GET", f"/app/{team_app}", member + in_team)
        assert seen.status == 200
        assert seen.json() == {**made.json()["data"], "jobs": dict.fromkeys(
            ["completed", "failed", "in_progress", "in_queue", "retried"], 0), "workers": dict.fromkeys(
                ["idle", "initializing", "ready", "running", "throttled", "unhealthy"], 0)}
        assert [app["id"] for app in web("GET", "/app", member + in_team).json()["data"]] == [team_app]

        for headers in (member, DEMO, stranger):  # no header: the personal scope of each
            absent = web("GET", f"/app/{team_app}", headers)
            assert (absent.status, absent.error()) == (404, f"App with ID '{team_app}' not found.")
        absent = web("GET", f"/app/{personal_app}", DEMO + in_team)
        assert (absent.status, absent.error()) == (404, f"App with ID '{personal_app}' not found.")

        refused = web("GET", f"/app/{team_app}", stranger + in_team)
        assert refused.status == 403
        assert refused.body == b'{"error":"You are not a member of this team."}'
        refused = web("GET", f"/app/{team_app}", [("x-api-key", KEY + "5")] + in_team)
        assert refused.status == 403
        assert refused.body == b'{"error":"Unauthorized access. Invalid API key."}'


def test_init_demo_again_completes(tmp_path):
    """A demo that is there is printed again and stays as it is; a store that is no demo is left alone."""
    data = str(tmp_path / "store")
    first = tool("init", "--data", data, "--demo")
    second = tool("init", "--data", data, "--demo")
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert second.stdout.endswith(first.stdout[first.stdout.index("curl"):])

    plain = str(tmp_path / "plain")
    assert tool("init", "--data", plain).returncode == 0
    refused = tool("init", "--data", plain, "--demo")
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1


def test_the_guide_over_http2(tmp_path):
    """The body of the guide by another version of HTTP gives the same app."""
    data = str(tmp_path / "store")
    demo = Demo(data)
    body = re.search(r"--data '(.*)'$", demo.commands[0], re.S).group(1)
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    with serving(data) as server:
        made = Curl(server)("POST", "/app", DEMO + [("x-team-id", TEAM)] + JSON, body)
        assert made.status == 201
        assert re.fullmatch(expected("Team App", "An app shared with the team", USER, None, TEAM), made.body.decode())
