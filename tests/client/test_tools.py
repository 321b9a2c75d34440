"""The command line: help, exit codes, JSON, the same with a server and without one, one sentence for each mishap."""

import json
import os
import re
import signal
import socket
import stat
import subprocess

import pytest

import harness
import rpcs
from harness import Http1, Person, Server, Store, new_id, serving, tool, tool_json

SUBCOMMANDS = ["init", "serve", "user add", "user list", "user show", "user delete", "team add", "team list",
               "team show", "team delete",
               "member add", "member list", "member set-role", "member remove", "key add", "key import", "key list",
               "key revoke", "stat", "dump", "verify", "restore"]


# ---- Help and usage ----

def test_help():
    answer = tool("--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    for name in SUBCOMMANDS:
        assert re.search(rf"^  {name}\b", answer.stdout, re.M), name
    assert set(re.findall(r"^  (\w+(?: [a-z-]+)?)", answer.stdout, re.M)) == set(SUBCOMMANDS)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_of_a_subcommand(name):
    """Also behind other words, which are then not looked at; every option has a line."""
    answer = tool(*name.split(), "--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith(f"usage: allod {name}")
    assert "--data DIR" in answer.stdout
    assert ("--json" in answer.stdout) == (name != "serve")
    assert tool(*name.split(), "--data", "/nowhere", "--help").stdout == answer.stdout


@pytest.mark.parametrize("noun", ["user", "team", "member", "key"])
def test_noun_alone(noun):
    answer = tool(noun)
    assert answer.returncode == 2
    for name in SUBCOMMANDS:
        if name.startswith(noun):
            assert f"allod {name}" in answer.stderr
    assert tool(noun, "--help").returncode == 0


def test_version():
    answer = tool("--version")
    assert answer.returncode == 0
    assert re.fullmatch(r"allod \d+\.\d+\.\d+ \(LMDB .*\)\n", answer.stdout), answer.stdout


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A store that no server holds."""
    return Store(tmp_path_factory.mktemp("quiet"))


MISUSE = [
    [], ["nothing"], ["user", "nothing"], ["user", "add", "--nothing"], ["user", "add", "word"], ["user", "show"],
    ["user", "show", "a", "b"],
    ["user", "add", "--name"], ["user", "add", "--json=1"], ["user", "add", "--name", "a", "--name", "b"],
    ["member", "add", "t", "u"],
    ["member", "add", "t", "u", "BOSS"], ["key", "add", "u", "--name", "n", "--expires-at", "tomorrow"],
    ["key", "add", "u", "--name", "n", "--expires-at", "2027-02-30"], ["serve", "--map-size", "x"],
    ["serve", "--map-size", "1K"],
    ["serve", "--workers", "0"], ["serve", "--workers", "x"], ["serve", "--log", "loud"], ["serve", "word"],
    ["init", "word"], ["stat", "--demo"]]


@pytest.mark.parametrize("words", MISUSE, ids=[" ".join(words) or "none" for words in MISUSE])
def test_bad_usage(quiet, words):
    with_data = [*words, "--data", quiet.data] if len(words) > 1 or words in (["stat"],) else words
    answer = tool(*with_data)
    assert answer.returncode == 2, answer
    assert answer.stdout == ""
    assert answer.stderr


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_data_is_wanted(name):
    words = {"user show": ["x"], "user delete": ["x"], "team add": ["x"], "team show": ["x"], "team delete": ["x"],
             "member add": ["a", "b", "OWNER"],
             "member list": ["x"], "member set-role": ["a", "b", "OWNER"], "member remove": ["a", "b"],
             "key add": ["x"], "key import": ["x"],
             "key list": ["x"], "key revoke": ["a", "b"], "restore": ["x"]}.get(name, [])
    environment = {key: value for key, value in os.environ.items() if key != "ALLOD_DATA"}
    answer = tool(*name.split(), *words, environment=environment, stdin="secret-secret-secret\n")
    assert answer.returncode == 2
    assert "--data" in answer.stderr


def test_data_from_the_environment(quiet):
    answer = tool("user", "list", "--json", environment={**os.environ, "ALLOD_DATA": quiet.data})
    assert answer.returncode == 0
    assert len(answer.stdout.splitlines()) == 4


# ---- The same commands with a server and without one ----

def scenario(data):
    """What an administrator does in a day; what each command answered, with ids and times made equal."""
    names = {}

    def known(text):
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME", text)
        text = re.sub(r"allod_sk_\w+", "SECRET", text)
        return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
                      lambda found: names.setdefault(found.group(0), f"ID{len(names)}"), text)

    seen = []

    def run(*words, stdin=""):
        for is_json in (False, True):
            if is_json and words[1] not in ("list", "show"):
                break
            answer = tool(*words, "--data", data, *(["--json"] if is_json else []), stdin=stdin)
            seen.append((known(" ".join(words)), answer.returncode, known(answer.stdout), known(answer.stderr)))
        return answer

    def made(*words, stdin=""):
        answer = tool(*words, "--data", data, "--json", stdin=stdin)
        seen.append((known(" ".join(words)), answer.returncode, known(answer.stdout), known(answer.stderr)))
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    ann, ben = made("user", "add", "--name", "ann")["id"], made("user", "add", "--name", "b\u00e9n\n")["id"]
    chosen = "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"
    made("user", "add", "--id", chosen)
    run("user", "add", "--id", chosen)
    run("user", "add", "--id", "x")
    run("user", "show", chosen)
    run("user", "show", new_id())
    run("user", "list")
    team = made("team", "add", ann, "--name", "crew")["id"]
    run("team", "add", new_id(), "--name", "crew")
    run("team", "add", ann)
    run("team", "show", team)
    run("team", "list")
    made("member", "add", team, ben, "member")
    run("member", "add", team, ben, "ADMIN")
    run("member", "add", team, new_id(), "ADMIN")
    run("member", "set-role", team, ben, "ROLE_ADMIN")
    run("member", "set-role", team, ann, "MEMBER")
    run("member", "remove", team, ann)
    run("member", "list", team)
    run("user", "delete", ann)
    key = made("key", "add", ben, "--name", "k", "--expires-at", "90d")["key"]["id"]
    run("key", "add", ben, "--name", "")
    run("key", "add", ben, "--name", "k", "--expires-at", "2001-01-01")
    made("key", "import", ben, "--name", "short", stdin="1234\n")
    run("key", "import", ben, "--name", "again", stdin="1234\n")
    run("key", "import", ben, "--name", "bad", stdin="a b\n")
    run("key", "import", ben, "--name", "none", stdin="")
    run("key", "import", ben, "--name", "file", "--secret-file", "/nonexistent/file")
    run("key", "list", ben)
    run("key", "revoke", ben, key)
    run("key", "revoke", ben, key)
    run("key", "revoke", ben, new_id())
    run("key", "list", ben)
    run("member", "remove", team, ben)
    run("member", "list", team)
    run("team", "delete", team)
    run("team", "show", team)
    run("team", "delete", team)
    run("user", "delete", ann)
    run("user", "show", ann)
    run("user", "delete", ann)
    run("user", "list")
    return seen


def test_with_a_server_and_without_one(tmp_path):
    """Every answer, text, exit code and complaint is the same."""
    datas = [str(tmp_path / name) for name in ("off", "on")]
    for data in datas:
        assert tool("init", "--data", data).returncode == 0
    off = scenario(datas[0])
    with serving(datas[1]):
        on = scenario(datas[1])
    for one, other in zip(off, on):
        assert one == other
    assert len(off) == len(on)
    codes = {code for _, code, _, _ in off}
    assert codes == {0, 1}
    for words, code, stdout, stderr in off:
        if code == 1:
            assert stdout == "" and len(stderr.splitlines()) == 1, (words, stderr)
        elif "import" not in words:
            assert stderr == "", (words, stderr)


def test_outcomes(tmp_path):
    """What those commands did, seen by the API."""
    data = str(tmp_path / "store")
    assert tool("init", "--data", data).returncode == 0
    ann = Person(data, "ann")
    with serving(data) as server:
        web = Http1(server)
        assert web("GET", "/app", ann.headers()).status == 200
        made = tool_json("key", "add", ann.id, "--data", data, "--name", "second")[0]
        second = [("x-api-key", made["secret"])]
        assert web("GET", "/app", second).status == 200, "from the next request on"
        tool_json("key", "revoke", ann.id, made["key"]["id"], "--data", data)
        assert web("GET", "/app", second).status == 403
        team = tool_json("team", "add", ann.id, "--data", data, "--name", "t")[0]["id"]
        assert web("GET", "/app", ann.headers(team)).status == 200
        tool_json("team", "delete", team, "--data", data)
        assert web("GET", "/app", ann.headers(team)).status == 403
        imported = tool("key", "import", ann.id, "--data", data, "--name", "i", stdin="imported-key\n")
        assert imported.returncode == 0 and "imported-key" not in imported.stdout
        assert "short" in (imported.stdout + imported.stderr).lower(), "warns"
        assert web("GET", "/app", [("x-api-key", "imported-key")]).status == 200
        tool_json("user", "delete", ann.id, "--data", data)
        assert web("GET", "/app", ann.headers()).status == 403
        web.close()


def test_lists_longer_than_a_page(tmp_path):
    data = str(tmp_path / "store")
    assert tool("init", "--data", data).returncode == 0
    with serving(data):
        for i in range(120):
            assert tool("user", "add", "--data", data, "--name", f"n{i}").returncode == 0
        online = tool("user", "list", "--data", data).stdout
    lines = tool("user", "list", "--data", data).stdout.splitlines()
    assert online.splitlines() == lines
    assert len(lines) == 121 and lines[0].split() == ["id", "name", "created_at"]
    assert len(tool_json("user", "list", "--data", data)) == 120


def test_stat(quiet, tmp_path):
    (offline,) = tool_json("stat", "--data", quiet.data)
    assert offline["demo"] is False and int(offline["records"]) > 0 and int(offline["keys"]) == 4
    with serving(quiet.data) as server:
        web = Http1(server)
        for _ in range(3):
            web("GET", "/app", quiet.alice.headers())
        web("GET", "/app")
        (online,) = tool_json("stat", "--data", quiet.data)
        assert online["store_id"] == offline["store_id"] and online["records"] == offline["records"]
        assert int(online["calls"]) >= 4 and int(online["calls_failed"]) >= 1 and int(online["connections"]) >= 1
        assert int(online["map_bytes"]) == 4 << 30
        web.close()


# ---- The admin plane ----

def test_admin_socket(quiet):
    """Private to its user; AdminService, health and the public services by name, not by TCP."""
    with serving(quiet.data) as server:
        path = os.path.join(quiet.data, "admin.sock")
        mode = os.stat(path).st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
        with rpcs.channel(f"unix:{path}") as channel:
            client = rpcs.Client(channel)
            users = [user.id for user in client("ListUsers").users]
            assert quiet.alice.id in users
            assert client.fails("GetUser", id=new_id()).code == "NOT_FOUND"
        assert server.child.poll() is None
    assert not os.path.exists(path), "gone with the server"


def test_held_without_admin_listener(quiet):
    with serving(quiet.data, "--admin", "none") as server:
        answer = tool("user", "list", "--data", quiet.data)
        assert answer.returncode == 1
        assert str(server.child.pid) in answer.stderr and len(answer.stderr.splitlines()) == 1


def test_admin_socket_elsewhere(quiet, tmp_path):
    with serving(quiet.data, "--admin", str(tmp_path / "a.sock")):
        assert len(tool_json("user", "list", "--data", quiet.data)) == 4


def test_long_paths(tmp_path):
    """Longer than a socket's address may be."""
    data = str(tmp_path / ("d" * 120))
    assert tool("init", "--data", data).returncode == 0
    with serving(data):
        assert tool_json("user", "add", "--data", data, "--name", "x")[0]["name"] == "x"


def test_socket_left_behind(quiet):
    """A server that was killed leaves its socket; the next one takes its place, and tools do without meanwhile."""
    server = Server(quiet.data)
    server.kill()
    assert os.path.exists(os.path.join(quiet.data, "admin.sock"))
    assert len(tool_json("user", "list", "--data", quiet.data)) == 4
    with serving(quiet.data):
        assert len(tool_json("user", "list", "--data", quiet.data)) == 4


# ---- Mishaps ----

def refused(*words, code=1, contains=()):
    """One sentence on standard error."""
    answer = tool(*words)
    assert answer.returncode == code, answer
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1, answer.stderr
    for text in contains:
        assert text in answer.stderr
    return answer.stderr


def test_missing_directory(tmp_path):
    data = str(tmp_path / "none")
    for words in (["serve"], ["user", "list"], ["stat"]):
        refused(*words, "--data", data, contains=[data, "allod init"])
    assert not os.path.exists(data)


def test_empty_directory(tmp_path):
    for words in (["serve"], ["user", "list"]):
        refused(*words, "--data", str(tmp_path), contains=[str(tmp_path)])
    assert os.listdir(tmp_path) == [], "looking changes nothing"


def test_not_a_directory(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for words in (["init"], ["serve"], ["user", "list"]):
        refused(*words, "--data", str(file), contains=[str(file)])


def test_init_refuses_what_is_there(quiet, tmp_path):
    refused("init", "--data", quiet.data, contains=[quiet.data])
    (tmp_path / "other").write_text("x")  # nothing is added to it, not even a lock
    refused("init", "--data", str(tmp_path), contains=["other"])
    assert os.listdir(tmp_path) == ["other"]


def test_init_json(tmp_path):
    """--json says what was made, for a plain store and for a demo."""
    data = str(tmp_path / "plain")
    assert json.loads(tool("init", "--data", data, "--json").stdout) == {"data": data, "demo": False}
    data = str(tmp_path / "demo")
    assert json.loads(tool("init", "--data", data, "--demo", "--json").stdout) == {
        "data": data, "demo": True, "user_id": "ee4988a7-48e2-44ae-81f5-178a44ebeb58",
        "team_id": "123e4567-e89b-12d3-a456-426614174000", "key": "12324234"}


def test_init_makes_it_private(tmp_path):
    data = str(tmp_path / "store")
    assert tool("init", "--data", data).returncode == 0
    assert stat.S_IMODE(os.stat(data).st_mode) == 0o700
    for name in os.listdir(data):
        assert stat.S_IMODE(os.stat(os.path.join(data, name)).st_mode) & 0o077 == 0, name


def test_garbage_files(tmp_path):
    (tmp_path / "data.mdb").write_bytes(os.urandom(8192))
    for words in (["serve"], ["user", "list"]):
        refused(*words, "--data", str(tmp_path))


def test_unwritable(tmp_path):
    """Where nothing may be written: read only for its owner, which root is made by giving up all rights over files."""
    data = str(tmp_path / "store")
    assert tool("init", "--data", data).returncode == 0
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    os.chmod(data, 0o500)
    for name in os.listdir(data):
        os.chmod(os.path.join(data, name), 0o400)
    os.chmod(tmp_path, 0o500)
    try:
        for words, where in ((["serve"], data), (["user", "list"], data), (["init"], str(tmp_path / "new"))):
            done = subprocess.run([*powerless, harness.ALLOD, *words, "--data", where], capture_output=True, text=True,
                                  timeout=60)
            assert done.returncode == 1, done
            assert len(done.stderr.splitlines()) == 1, done.stderr
            assert "ermission denied" in done.stderr
    finally:
        os.chmod(tmp_path, 0o700)
        os.chmod(data, 0o700)


def test_second_server(quiet):
    with serving(quiet.data) as server:
        refused("serve", "--data", quiet.data, "--listen", "127.0.0.1:0", contains=[str(server.child.pid)])


def test_port_in_use(quiet):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused("serve", "--data", quiet.data, "--listen", f"127.0.0.1:{port}", contains=[str(port)])
    assert tool("user", "list", "--data", quiet.data).returncode == 0, "it let go of the store"


def test_port_of_another_server(quiet, tmp_path):
    """Two servers do not share a port in silence."""
    data = str(tmp_path / "second")
    assert tool("init", "--data", data).returncode == 0
    with serving(quiet.data) as server:
        refused("serve", "--data", data, "--listen", server.address, contains=[str(server.port)])


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", "127.0.0.1:", ":8080", "127.0.0.1:99999", "127.0.0.1:-1",
                                     "127.0.0.1:80x", "1.2.3:80",
                                     "[::1:80"])
def test_bad_address(quiet, address):
    answer = tool("serve", "--data", quiet.data, "--listen", address)
    assert answer.returncode == 2, answer
    assert answer.stderr.startswith("allod serve: ")


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_beyond_loopback(quiet, address):
    """Refused without TLS unless --insecure."""
    answer = tool("serve", "--data", quiet.data, "--listen", address)
    assert answer.returncode == 2
    assert "--insecure" in answer.stderr


def start(*words):
    return subprocess.Popen([harness.ALLOD, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_insecure(quiet):
    child = start("serve", "--data", quiet.data, "--listen", "0.0.0.0:0", "--insecure", "--map-size", "1G")
    try:
        for line in child.stderr:
            if "listening address=0.0.0.0:" in line:
                break
        else:
            raise AssertionError("it ended")
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=harness.BOUND_SECONDS) == 0
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("options", [[], ["--insecure"]])
def test_demo_stays_on_loopback(tmp_path, options):
    """Its key is in every copy of the guide: never beyond loopback, whatever is said."""
    data = str(tmp_path / "demo")
    assert tool("init", "--data", data, "--demo").returncode == 0
    answer = tool("serve", "--data", data, "--listen", "0.0.0.0:0", *options)
    assert answer.returncode == 2
    assert "demo" in answer.stderr
    assert answer.stderr.startswith("allod serve: ")


def test_ipv6(quiet):
    if not os.path.exists("/proc/net/if_inet6") or not open("/proc/net/if_inet6").read():
        pytest.skip("no IPv6 here")
    child = start("serve", "--data", quiet.data, "--listen", "[::1]:0", "--map-size", "1G")
    try:
        for line in child.stderr:
            found = re.search(r"listening address=\[::1\]:(\d+)", line)
            if found:
                break
        else:
            raise AssertionError("it ended")
        with rpcs.channel(f"[::1]:{found.group(1)}") as channel:
            assert rpcs.Client(channel, quiet.alice.headers()).outcome("ListApps") == "OK"
        child.terminate()
        assert child.wait(timeout=harness.BOUND_SECONDS) == 0
    finally:
        child.kill()
        child.wait()


# ---- The log ----

def test_log(tmp_path):
    """One line for each call that fails, none for one that succeeds, never a key."""
    data = str(tmp_path / "store")
    assert tool("init", "--data", data).returncode == 0
    ann = Person(data, "ann")
    with serving(data) as server:
        web = Http1(server)
        for _ in range(5):
            assert web("GET", "/app", ann.headers()).status == 200
        web("GET", "/app/x", ann.headers())
        web("GET", "/app", [("x-api-key", "not-a-key-at-all")])
        with rpcs.channel(server.address) as channel:
            rpcs.Client(channel, ann.headers()).fails("GetApp", id="x")
        web.close()
    log = "".join(server.stderr)
    assert ann.key not in log and "not-a-key-at-all" not in log
    calls = [line for line in server.stderr if " call" in line]
    assert len(calls) == 3, log


def test_debug_log(tmp_path):
    data = str(tmp_path / "store")
    assert tool("init", "--data", data).returncode == 0
    ann = Person(data, "ann")
    with serving(data, "--log", "debug") as server:
        web = Http1(server)
        assert web("GET", "/app", ann.headers()).status == 200
        web.close()
    log = "".join(server.stderr)
    assert "ListApps" in log or "/app" in log
    assert ann.key not in log
