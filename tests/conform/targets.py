"""The servers that the cases are tried on: `allod serve`, plain and TLS, and nghttpd, by which it is measured."""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess

import harness
import link


# It lies in a directory that is not on everybody's path.
NGHTTPD = shutil.which("nghttpd", path=os.environ["PATH"] + ":/usr/sbin")


class Target:
    """Where a server listens, and two requests that it answers: get with 200 and a body, post once it has read its body."""

    def __init__(self, name, port, get, post, authority=None):
        self.name = name
        self.port = port
        self.authority = authority
        scheme = (b":scheme", b"https" if authority else b"http")
        self.get = [(b":method", b"GET"), scheme, (b":path", get[0]), (b":authority", b"localhost"), *get[1:]]
        self.post = [(b":method", b"POST"), scheme, (b":path", post[0]), (b":authority", b"localhost"), *post[1:]]

    def connect(self, protocol):
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=link.BOUND_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.authority is None:
            return plain
        context = ssl.create_default_context(cafile=self.authority.ca)
        context.set_alpn_protocols([protocol])
        secure = context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=True)
        assert secure.selected_alpn_protocol() == protocol
        return secure


@contextlib.contextmanager
def allod(directory, authority=None):
    store = harness.Store(os.path.join(directory, "tls" if authority else "plain"))
    with harness.serving(store.data) as server:  # so that an answer takes several of the smallest windows, and few fill a large one
        answer = harness.Http1(server)("POST", "/app", store.alice.headers() + harness.JSON, harness.app_body(description="a page " * 500))
        assert answer.status == 201
    options = authority.options() if authority else []
    key = (b"x-api-key", store.alice.key.encode())
    with harness.serving(store.data, *options) as server:
        yield Target("allod, TLS" if authority else "allod", server.port, [b"/app", key],
                     [b"/app", key, (b"content-type", b"application/json")], authority)


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=link.BOUND_SECONDS).close()
        return True
    except ConnectionError:
        return False


@contextlib.contextmanager
def nghttpd(directory):
    """It takes no port 0 and does not say when it listens: so a free port is looked for, and it is asked until it answers or ends."""
    with open(os.path.join(directory, "index.html"), "w") as out:
        out.write("a page " * 500)
    for _ in range(20):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        child = subprocess.Popen([NGHTTPD, "--no-tls", "--address=127.0.0.1", f"--htdocs={directory}", str(port)],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and not is_listening(port):
            pass
        if child.poll() is None:
            break
    else:
        raise AssertionError("nghttpd finds no port")
    try:
        yield Target("nghttpd", port, [b"/index.html"], [b"/index.html"])
    finally:
        child.kill()
        child.wait()


def outcome(target, case):
    """None, or what the server did wrong."""
    _, function, pairs = case
    connection = link.Link(target)
    try:
        if pairs is not None:
            connection.greet(*pairs)
        function(connection)
        return None
    except link.Failure as failure:
        return str(failure)
    finally:
        connection.close()
