"""The server under test and its clients: stores made by the tool, servers on a free port, curl, raw sockets."""

import contextlib
import http.client
import json
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("ALLOD_BUILD", os.path.join(ROOT, "build"))
ALLOD = os.environ.get("ALLOD", os.path.join(BUILD, "allod"))

# A store under test is small, and sanitizers reserve address space of their own.
SERVE_OPTIONS = ["--listen", "127.0.0.1:0"]
MAP_SIZE = ["--map-size", "4G"]

# Any single step that takes longer hangs. Generous, for sanitizers on a busy machine.
BOUND_SECONDS = 60

SANITIZER_REPORT = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:")


def build_root():
    """The directory that configure wrote, which a variant's build directory lies in."""
    path = os.path.abspath(BUILD)
    while not os.path.exists(os.path.join(path, "config.ninja")):
        if path == "/":
            raise FileNotFoundError(f"no config.ninja above {BUILD}: run ./configure")
        path = os.path.dirname(path)
    return path


def setting(name):
    """A setting that configure found."""
    with open(os.path.join(build_root(), "config.ninja")) as file:
        return re.search(rf"^{name} = (.*)$", file.read(), re.M).group(1).replace("$$", "$")


def has_symbol(pattern):
    """Whether the program under test has one."""
    with open(ALLOD, "rb") as file:
        return re.search(pattern, file.read()) is not None


def is_sanitized():
    """Whether the program under test was built with sanitizers."""
    return has_symbol(rb"__[at]san_init")


def new_id():
    return str(uuid.uuid4())


def tool(*words, stdin="", environment=None):
    """Runs `allod WORDS`."""
    answer = subprocess.run([ALLOD, *map(str, words)], input=stdin, capture_output=True, text=True,
                            timeout=BOUND_SECONDS,
                            env=environment)
    assert not SANITIZER_REPORT.search(answer.stderr), answer.stderr
    return answer


def tool_json(*words, stdin=""):
    """The same with --json; the objects that it prints."""
    answer = tool(*words, "--json", stdin=stdin)
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


class Server:
    """`allod serve` on a free port of loopback."""

    def __init__(self, data, *options, wrapper=()):
        """`wrapper` is a command that becomes the one behind it."""
        self.data = str(data)
        self.lines = queue.Queue()
        self.stderr = []
        defaults = [] if "--map-size" in options else MAP_SIZE
        self.child = subprocess.Popen([*wrapper, ALLOD, "serve", "--data", self.data, *SERVE_OPTIONS, *defaults, *options],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      text=True, errors="replace")
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.port = int(self.wait_for(r"listening address=127\.0\.0\.1:(\d+)").group(1))
        except Exception:
            self.kill()
            raise
        self.address = f"127.0.0.1:{self.port}"

    def _read(self):
        for line in self.child.stderr:
            self.stderr.append(line)
            self.lines.put(line)
        self.lines.put(None)

    def wait_for(self, pattern):
        """The match in the next line of the log that has one."""
        while True:
            line = self.lines.get(timeout=BOUND_SECONDS)
            if line is None:
                raise AssertionError("the server ended: " + "".join(self.stderr))
            found = re.search(pattern, line)
            if found:
                return found

    def stop(self):
        """SIGTERM; it ends well."""
        self.child.send_signal(signal.SIGTERM)
        self.assert_ended_well()

    def assert_ended_well(self):
        try:
            status = self.child.wait(timeout=BOUND_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        log = "".join(self.stderr)
        assert not SANITIZER_REPORT.search(log), log
        assert status == 0, f"exit status {status}: {log[-4000:]}"

    def kill(self):
        self.child.kill()
        self.child.wait(timeout=BOUND_SECONDS)


@contextlib.contextmanager
def serving(data, *options, wrapper=()):
    server = Server(data, *options, wrapper=wrapper)
    try:
        yield server
    except BaseException:
        server.kill()
        raise
    server.stop()


class Person:
    """A user of the store with a key."""

    def __init__(self, data, name, user_id=None):
        words = ["--id", user_id] if user_id else []
        self.name = name
        self.id = tool_json("user", "add", "--data", data, "--name", name, *words)[0]["id"]
        self.key = tool_json("key", "add", self.id, "--data", data, "--name", f"{name}'s")[0]["secret"]

    def headers(self, team=None):
        """What this person sends, as REST headers or gRPC metadata."""
        own = [("x-api-key", self.key)]
        return own + [("x-team-id", team)] if team else own


class Store:
    """A store with two tenants and a team: alice is its OWNER, dave ADMIN, bob MEMBER; carol is a stranger."""

    def __init__(self, data):
        self.data = str(data)
        answer = tool("init", "--data", self.data)
        assert answer.returncode == 0, answer.stderr
        self.alice, self.bob, self.carol, self.dave = (Person(self.data, name)
                                                       for name in ("alice", "bob", "carol", "dave"))
        self.team = self.add_team(self.alice, "crew")
        self.add_member(self.team, self.dave, "ADMIN")
        self.add_member(self.team, self.bob, "MEMBER")

    def add_team(self, owner, name):
        return tool_json("team", "add", owner.id, "--data", self.data, "--name", name)[0]["id"]

    def add_member(self, team, person, role):
        tool_json("member", "add", team, person.id, role, "--data", self.data)


class Reset(Exception):
    """No answer: the server gave up the stream or the connection."""


class Answer:
    """An HTTP answer: status, headers (names in lower case, values joined by comma), body bytes."""

    def __init__(self, status, headers, body):
        self.status = status
        self.body = body
        self.headers = {}
        for name, value in headers:
            name = name.lower()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value

    def json(self):
        return json.loads(self.body)

    def error(self):
        """The sentence of an error, whose envelope is exactly one member."""
        assert self.headers["content-type"] == "application/json", self.headers
        document = self.json()
        assert list(document) == ["error"], document
        return document["error"]

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:600]!r}>"


def encode(body):
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    return json.dumps(body).encode()


class Http1:
    """REST over HTTP/1.1, on one connection that is kept alive."""

    version = "HTTP/1.1"

    def __init__(self, server):
        self.server = server
        self.connection = None

    def __call__(self, method, path, headers=(), body=None):
        body = encode(body)
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=BOUND_SECONDS)
        self.connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            self.connection.putheader(name, value)
        if body is not None:
            self.connection.putheader("Content-Length", str(len(body)))
        try:
            self.connection.endheaders(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all was sent; the answer is there to be read
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.will_close:
            self.close()
        return Answer(answer.status, answer.getheaders(), content)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Curl:
    """REST by curl, over HTTP/2 with prior knowledge unless told otherwise."""

    version = "HTTP/2"

    def __init__(self, server, *options):
        self.server = server
        self.options = options or ["--http2-prior-knowledge"]

    def __call__(self, method, path, headers=(), body=None):
        command = ["curl", "--silent", "--show-error", "--include", "--path-as-is", "--globoff", "--max-time",
                   str(BOUND_SECONDS), *self.options]
        command += ["--head"] if method == "HEAD" else ["--request", method]
        for name, value in headers:
            command += ["--header", f"{name}: {value}" if value else f"{name};"]
        if body is not None:
            command += ["--data-binary", "@-"]
            if not any(name.lower() == "content-type" for name, _ in headers):
                command += ["--header", "content-type:"]
        done = subprocess.run([*command, f"http://127.0.0.1:{self.server.port}{path}"], input=encode(body) or b"",
                              capture_output=True, timeout=BOUND_SECONDS)
        if done.returncode != 0:
            raise Reset(done.stderr.decode())
        return parse_answer(done.stdout)

    def close(self):
        pass


def parse_answer(text):
    """An answer as curl --include prints it, interim ones left out."""
    while True:
        head, _, text = text.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        if status >= 200:
            return Answer(status, [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]], text)


class Raw:
    """A socket, for what no client sends."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=BOUND_SECONDS)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False: the other side is gone."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def fill(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return data != b""

    def answer(self, is_head=False):
        """The next HTTP/1.1 answer with its interim ones left out, or None at the end of the connection."""
        while True:
            while b"\r\n\r\n" not in self.buffer:
                if not self.fill():
                    return None
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split()[1])
            headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
            length = 0 if is_head else int(dict((n.lower(), v) for n, v in headers).get("content-length", 0))
            self.buffer = rest
            if status < 200:
                continue
            while len(self.buffer) < length:
                assert self.fill(), "the connection ended inside a body"
            body, self.buffer = self.buffer[:length], self.buffer[length:]
            return Answer(status, headers, body)

    def interim(self):
        """The next answer's status line, which must be an interim one's."""
        while b"\r\n\r\n" not in self.buffer:
            assert self.fill()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head.split(b"\r\n")[0]

    def rest(self):
        """All that still comes until the other side closes."""
        while self.fill():
            pass
        return self.buffer


APP = {
    "name": "app",
    "configuration": {"gpu_tier": "STANDARD"},
    "workflow": {"model_url": "https://example.com/model"},
}

JSON = [("content-type", "application/json")]


def app_body(**changes):
    """A body that creates an app; None as a value leaves the member out."""
    body = json.loads(json.dumps(APP))
    body.update(changes)
    return {name: value for name, value in body.items() if value is not None}


LORA = {"id": "l1", "versionId": "v1", "downloadUrl": "https://example.com/l1", "name": "one", "weight": 0.5}
