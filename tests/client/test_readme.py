"""README.md keeps its word: its examples run as printed (but for host and port, since 8080 may be taken), its tables are those of the program
and of the headers, its links lead somewhere."""

import json
import os
import re
import subprocess

import pytest

import harness
from harness import ROOT, serving, tool

PAGES = ["README.md", "engine/README.md", "rpc/README.md", "proto/README.md", "tools/README.md", "tests/README.md"]
ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

# Says the status of each answer, in order, and leaves the body alone.
CURL = "curl() { command curl --write-out '%{stderr}%{http_code}\\n' \"$@\"; }\n"


def page(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


def section(title):
    """The text under a heading, up to the next one."""
    return re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^##|\Z)", page("README.md"), re.M | re.S).group(1)


def blocks(title, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", section(title), re.M | re.S)


class Desk:
    """A directory that looks like the tree to someone who follows the README: with a demo store, and a server on it."""

    def __init__(self, path):
        self.path = str(path)
        os.symlink(os.path.join(ROOT, "proto"), self.file("proto"))
        os.mkdir(self.file("build"))
        os.symlink(harness.ALLOD, self.file("build/allod"))
        for name in ("gen", "node"):
            os.symlink(os.path.join(harness.build_root(), name), self.file("build", name))
        self.data = self.file("build/demo")
        self.server = None
        self.demo = tool("init", "--data", self.data, "--demo").stdout

    def file(self, *names):
        return os.path.join(self.path, *names)

    def write(self, name, text):
        with open(self.file(name), "w") as file:
            file.write(self.here(text))

    def here(self, text):
        return text if self.server is None else text.replace("127.0.0.1:8080", self.server.address)

    def run(self, script):
        """In a shell that stops at the first command that fails; what it printed."""
        environment = {key: value for key, value in os.environ.items() if key not in ("ALLOD_DATA", "PYTHONPATH", "NODE_PATH")}
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", self.here(script)], cwd=self.path, capture_output=True, text=True,
                              env={**environment, "HOME": self.path}, timeout=harness.BOUND_SECONDS)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture
def quiet_desk(tmp_path):
    return Desk(tmp_path)


@pytest.fixture
def desk(quiet_desk):
    with serving(quiet_desk.data) as quiet_desk.server:
        yield quiet_desk


# ---- Examples ----

def test_published_requests(desk):
    """The two requests are those that `allod init --demo` prints, and make a team's and a personal app."""
    script = blocks("curl", "sh")[0]
    commands = re.findall(r"^curl .*?\n}'$", script, re.M | re.S)
    assert commands == re.findall(r"^curl .*?\n}'$", desk.demo, re.M | re.S)
    assert len(commands) == 2
    done = desk.run(CURL + script.replace("\n}'\n", "\n}'\necho\n"))
    assert re.findall(r"^\d+$", done.stderr, re.M) == ["201", "201"]
    team_app, own_app = (json.loads(line)["data"] for line in done.stdout.splitlines())
    assert (team_app["name"], team_app["owner_team_id"], team_app["owner_user_id"]) == (
        "Team App", "123e4567-e89b-12d3-a456-426614174000", None)
    assert (own_app["name"], own_app["owner_team_id"], own_app["owner_user_id"]) == (
        "Team App", None, "ee4988a7-48e2-44ae-81f5-178a44ebeb58")


def test_life_of_an_app(desk):
    """Each request answers the status that stands beside it."""
    script = blocks("curl", "sh")[1]
    done = desk.run(CURL + re.sub(r"^(curl.*?)  +# (\d+)$", r"\1; echo", script, flags=re.M))
    statuses = re.findall(r"curl .*# (\d+)$", script, re.M)
    assert re.findall(r"^\d{3}$", done.stderr, re.M) == statuses
    assert len(statuses) == script.count("curl ")
    shown, listed, changed, job, jobs, canceled, deleted, gone = done.stdout.splitlines()
    assert json.loads(shown)["name"] == "Mine"
    assert [app["name"] for app in json.loads(listed)["data"]] == ["Mine"]
    assert json.loads(changed)["data"]["configuration"] == {"active_workers": 2, "gpu_tier": "BASIC"}
    assert json.loads(job)["data"]["request"] == {"prompt": "a lighthouse"}
    assert [one["status"] for one in json.loads(jobs)["data"]] == ["IN_QUEUE"]
    assert json.loads(canceled)["data"]["status"] == "CANCELED"
    assert deleted == ""
    assert re.fullmatch(rf"App with ID '{ID}' not found\.", json.loads(gone)["error"])


def test_python(desk):
    generate, start = blocks("Python", "sh")
    desk.write("example.py", blocks("Python", "python")[0])
    desk.run(generate)
    out = desk.run(start).stdout
    assert re.fullmatch(rf"From Python JOB_STATUS_QUEUED\nNOT_FOUND App with ID '{ID}' not found\.\n", out), out
    assert "`From Python JOB_STATUS_QUEUED`" in section("Python")


def test_node(desk):
    """After the published requests, since it lists what they made."""
    desk.run(blocks("curl", "sh")[0])
    desk.write("example.js", blocks("Node", "js")[0])
    out = desk.run(blocks("Node", "sh")[0]).stdout
    assert out == "Team App APP_STATUS_STOPPED\n"
    assert f"`{out.strip()}`" in section("Node")


def test_buf(desk):
    out = desk.run(blocks("buf, by reflection", "sh")[0]).stdout
    names, _, team = out.partition("{")
    assert {"allod.v1.AppService/GetApp", "allod.v1.TeamService/CreateTeam", "grpc.health.v1.Health/Check"} <= set(names.split())
    assert json.loads("{" + team)["name"] == "Night shift"


def test_backup(quiet_desk):
    quiet_desk.run(blocks("Administering it", "sh")[1])
    for name in "demo", "again":
        users = harness.tool_json("user", "list", "--data", quiet_desk.file("build", name))
        assert [user["name"] for user in users] == ["Demo user"]


def test_drill(quiet_desk):
    """The chapter on backups runs as printed, on the files and, but for the drill, beside a server."""
    (verifying,), (drill,) = blocks("Verifying", "sh"), blocks("A disaster drill", "sh")
    quiet_desk.run(verifying)
    quiet_desk.run(drill)


@pytest.mark.parametrize("is_served", [True, False], ids=["served", "quiet"])
def test_administering(request, is_served):
    """The same commands with a server and without one."""
    place = request.getfixturevalue("desk" if is_served else "quiet_desk")
    out = place.run(blocks("Administering it", "sh")[0]).stdout
    assert re.search(rf"^{ID}  {ID}  ADMIN  ", out, re.M)
    assert re.search(r"^secret +allod_sk_[0-9A-Za-z]{38}$", out, re.M)
    assert "\nTeam deleted.\nUser deleted.\n" in out
    stats = json.loads(re.search(r"^{.*}$", out, re.M).group(0))
    assert (stats["demo"], int(stats["calls"]) > 0) == (True, is_served)
    assert [user["name"] for user in harness.tool_json("user", "list", "--data", place.data)] == ["Ben", "Demo user"]


# ---- Promises ----

def test_logs_hold_no_key_and_no_body(quiet_desk):
    """At no level: of calls that went well, of calls that failed, and of keys that are none."""
    secret = harness.tool_json("key", "add", "ee4988a7-48e2-44ae-81f5-178a44ebeb58", "--name", "mine", "--data", quiet_desk.data)[0]["secret"]
    stranger = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    body = harness.app_body(name="a-name-in-a-body")
    with serving(quiet_desk.data, "--log", "debug") as server:
        for web in harness.Http1(server), harness.Curl(server):
            for key, status in ((secret, 201), (stranger, 403), ("12324234x", 403)):
                assert web("POST", "/app", [("x-api-key", key)] + harness.JSON, body).status == status
                assert web("POST", "/app", [("x-api-key", key)] + harness.JSON, b'{"a-name-in-a-body"').status in (400, 403)
                assert web("GET", "/nothing", [("x-api-key", key)]).status >= 400
            web.close()
    log = "".join(server.stderr)
    assert len(re.findall(r" call(-failed)? ", log)) >= 16
    for text in secret, stranger, secret[9:41], "12324234", "a-name-in-a-body":
        assert text not in log, text


# ---- Tables ----

def options_of_help(*words):
    """Long names, with the value where there is one."""
    found = re.findall(r"^  (--[a-z-]+)(?:, -\w)?( \S+)? ", tool(*words, "--help").stdout, re.M)
    return {name + value for name, value in found} - {"--help"}


def rows(title, *first):
    """Rows of the section's tables, cells stripped, that have a pattern in their first cell."""
    for line in re.findall(r"^\| (.*) \|$", section(title), re.M):
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r" \| ", line)]
        if re.match(*first, cells[0]):
            yield cells


def test_commands_and_options():
    """Every command has its row, with exactly the options of its --help. Beside --data, which a row names only to deny it."""
    commands = re.findall(r"^  (\w.*?)  ", tool("--help").stdout, re.M)
    table = {cells[0].strip("`"): set(re.findall(r"`(.*?)`", cells[1])) for cells in rows("Commands and options", "`[a-z]")}
    serve = table.pop("serve")
    assert serve == set()
    assert set(commands) == set(table) | {"serve"}
    for command in table:
        words = re.findall(r"(?<!\S)[a-z-]+", command)
        assert table[command] ^ {"--data DIR"} == options_of_help(*words), command
    assert {cells[0].strip("`") for cells in rows("Commands and options", "`--")} == options_of_help("serve")


def defined(name):
    """The value of a constant in the headers."""
    for header in ("engine/limits.h", "rpc/limits.h", "engine/json_scan.h"):
        found = re.search(rf"^#define {name}(?:\\|\n|\s)+([^/\n]+)", page(header), re.M)
        if found:
            return eval(found.group(1).replace("(size_t)", ""))  # numbers and shifts
    raise KeyError(name)


def in_words(text, name):
    number, _, unit = text.replace(",", "").partition(" ")
    if name.endswith("_MS"):
        assert unit == "s"
        return int(number) * 1000
    return int(number) * {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}[unit]


def test_limits():
    table = [(cells[1], cells[2].strip("`")) for cells in rows("Limits", r"\w") if "`" in cells[2]]
    assert len(table) > 25
    for text, name in table:
        assert in_words(text, name) == defined(name), name


def test_defaults_of_serve():
    help_text = tool("serve", "--help").stdout
    for option, default in (("--listen", "127.0.0.1:8080"), ("--map-size", "1T"), ("--log", "info")):
        assert f"[{default}]" in re.search(rf"^  {option} .*$", help_text, re.M).group(0)
        assert [cells[1] for cells in rows("Commands and options", f"`{option} ")] == [f"`{default}`"]


# ---- Evidence ----

def missing_evidence(text):
    """Of `file` `test`, ...: the tests that are not in their file, and files that are not there."""
    missing, file = [], None
    for name in re.findall(r"`([^`]+)`", text):
        if name.startswith("tests/"):
            file = name
            missing += [] if os.path.exists(os.path.join(ROOT, file)) else [file]
        elif file not in missing and not re.search(rf"^(?:def|static void) {re.escape(name)}\(", page(file), re.M):
            missing.append(name)
    return missing


def test_evidence():
    """All ten points of OWASP's list name tests, and these are there."""
    table = list(rows("OWASP API Security Top 10 (2023)", r"API\d+ "))
    assert [cells[0].split()[0] for cells in table] == [f"API{number}" for number in range(1, 11)]
    for _, _, evidence in table:
        assert "`tests/" in evidence and missing_evidence(evidence) == []
    assert missing_evidence("`tests/client/test_tls.py` `test_demo`, `test_nothing`; `tests/none.c`") == ["test_nothing", "tests/none.c"]


# ---- Links ----

@pytest.mark.parametrize("path", PAGES)
def test_links(path):
    """Links and the files that the text names are there; so are headings."""
    text = page(path)
    here = os.path.dirname(path)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        assert os.path.exists(os.path.join(ROOT, here, name)), target
        headings = re.findall(r"^#+ (.*)$", page(os.path.join(here, name) if name else path), re.M) if anchor else []
        assert not anchor or anchor in {heading.lower().replace(" ", "-") for heading in headings}, target
    for name in re.findall(r"`((?:engine|rpc|proto|tools|tests)/[\w./-]+\.\w+)`", text):
        assert "NOUN" in name or os.path.exists(os.path.join(ROOT, name)), name


@pytest.mark.parametrize("path", PAGES[1:])
def test_pages_name_files_that_are_there(path):
    """By their path in the tree or in the folder, or by their name alone."""
    folder = os.path.join(ROOT, os.path.dirname(path))
    below = {name for _, _, names in os.walk(folder) for name in names}
    for name in re.findall(r"`([\w./]+\.(?:c|h|py|ninja|proto|S|options|yaml))`", page(path)):
        assert name in below or os.path.exists(os.path.join(folder, name)) or os.path.exists(os.path.join(ROOT, name)), name
