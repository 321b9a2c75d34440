"""TLS as clients meet it: curl, Python's grpcio, Node's grpc-js; certificates of clients; new certificates under load."""

import os
import signal
import socket
import ssl
import subprocess
import threading

import grpc
import pytest

import harness
import rpcs
import test_node
from certificates import Authority
from harness import BOUND_SECONDS, Store, serving, tool


def read(path):
    with open(path, "rb") as file:
        return file.read()


class House:
    """A store, two authorities, and what they signed."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.store = Store(directory / "store")
        self.authority = Authority(self.directory, "authority")
        self.other = Authority(self.directory, "other")
        self.pair = self.authority.issue("server")
        self.client = self.authority.issue("client")
        self.stranger = self.other.issue("stranger")

    def options(self, pair=None, *more):
        cert, key = pair or self.pair
        return ["--tls-cert", cert, "--tls-key", key, *more]

    def credentials(self, client=None):
        cert, key = client or (None, None)
        return grpc.ssl_channel_credentials(read(self.authority.ca), key and read(key), cert and read(cert))

    def channel(self, address, client=None):
        return grpc.secure_channel(address, self.credentials(client),
                                   options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)])

    def curl(self, port, *options):
        """(exit status, status of the answer, HTTP version)."""
        command = ["curl", "--silent", "--output", os.devnull, "--write-out", "%{http_code} %{http_version}",
                   "--max-time", str(BOUND_SECONDS), "--cacert", self.authority.ca, "--header",
                   f"x-api-key: {self.store.alice.key}", *options, f"https://localhost:{port}/app"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND_SECONDS)
        return done.returncode, *done.stdout.split()

    def context(self, client=None):
        context = ssl.create_default_context(cafile=self.authority.ca)
        if client:
            context.load_cert_chain(*client)
        return context

    def connect(self, port, context=None, session=None):
        plain = socket.create_connection(("127.0.0.1", port), timeout=BOUND_SECONDS)
        return (context or self.context()).wrap_socket(plain, server_hostname="localhost", session=session)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    return House(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["ec", "rsa"])
def secure(request, house):
    pair = house.authority.issue(f"server-{request.param}", kind=request.param)
    with serving(house.store.data, *house.options(pair)) as running:
        yield running


@pytest.fixture
def mutual(house):
    with serving(house.store.data, *house.options(None, "--client-ca", house.authority.ca)) as running:
        yield running


# ---- Stock clients ----

@pytest.mark.parametrize("options, version", [(["--http1.1"], "1.1"), (["--http2"], "2"), (["--no-alpn"], "1.1"),
                                              (["--http2", "--tls-max", "1.2"], "2")])
def test_curl(house, secure, options, version):
    assert house.curl(secure.port, *options) == (0, "200", version)


def test_strict_transport(house, secure, server):
    """Answers by TLS tell browsers to stay with it, refusals too; answers without TLS say nothing of it."""
    for path in "app", "nowhere":
        done = subprocess.run(["curl", "--silent", "--head", "--cacert", house.authority.ca,
                               f"https://localhost:{secure.port}/{path}"], capture_output=True, text=True,
                              timeout=BOUND_SECONDS)
        assert "strict-transport-security: max-age=31536000" in done.stdout
    assert "strict-transport-security" not in harness.Curl(server)("GET", "/nowhere").headers


def test_curl_old(house, secure):
    """TLS 1.1 finds nobody, nor does a client that does not know the authority."""
    assert house.curl(secure.port, "--tls-max", "1.1", "--ciphers", "ALL@SECLEVEL=0")[0] == 35
    assert house.curl(secure.port, "--cacert", house.other.ca)[0] == 60


def test_wrong_name(house, secure):
    """Clients that look for another host than the certificate names turn away."""
    done = subprocess.run(["curl", "--silent", "--cacert", house.authority.ca, "--resolve",
                           f"other.example:{secure.port}:127.0.0.1", f"https://other.example:{secure.port}/app"],
                          capture_output=True, timeout=BOUND_SECONDS)
    assert done.returncode == 60
    with grpc.secure_channel(f"127.0.0.1:{secure.port}", house.credentials(), options=[
            ("grpc.ssl_target_name_override", "other.example"), ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0)]) as channel:
        assert rpcs.Client(channel, house.store.alice.headers()).outcome("ListApps") == "UNAVAILABLE"


def test_no_protocol_in_common(house, secure):
    """RFC 7301 section 3.2: who offers by ALPN what is not spoken here is told so, and gets no HTTP."""
    context = house.context()
    context.set_alpn_protocols(["spdy/3.1", "h3"])
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        house.connect(secure.port, context)
    context.set_alpn_protocols(["h3", "http/1.1", "h2"])
    with house.connect(secure.port, context) as connection:
        assert connection.selected_alpn_protocol() == "h2"


def test_grpc_python(house, secure):
    with house.channel(f"127.0.0.1:{secure.port}") as channel:
        alice = rpcs.Client(channel, house.store.alice.headers())
        made = alice("CreateApp", app=rpcs.app())
        assert alice("GetApp", id=made.id) == made
    with rpcs.channel(secure.address) as channel:  # without TLS
        assert rpcs.Client(channel, house.store.alice.headers()).outcome("ListApps") == "UNAVAILABLE"


def test_large(house, secure):
    """Bodies of many records, both ways."""
    with house.channel(f"127.0.0.1:{secure.port}") as channel:
        alice = rpcs.Client(channel, house.store.alice.headers())
        app = alice("CreateApp", app=rpcs.app())
        text = '{"text": "' + "x" * (3 << 20) + '"}'
        job = alice("RunJob", app_id=app.id, input=text)
        assert alice("GetJob", app_id=app.id, id=job.id).input == text


def test_grpc_node(house, secure):
    class At:
        address = f"127.0.0.1:{secure.port}"

    seen = test_node.run_client(At, house.store, TLS_CA=house.authority.ca)
    assert seen["health"] == {"status": "SERVING"}
    assert seen["got"] == seen["created"]


def test_resumption(house, secure):
    """A session is resumed on another connection, whichever thread has it, and after a reload."""
    context = house.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose tickets come with the handshake
    with house.connect(secure.port, context) as first:
        session = first.session
        assert not first.session_reused
    for _ in range(4):
        with house.connect(secure.port, context, session) as again:
            assert again.session_reused
    secure.child.send_signal(signal.SIGHUP)
    secure.wait_for(" reloaded ")
    with house.connect(secure.port, context, session) as again:
        assert again.session_reused


def test_plain_request(house, secure):
    """HTTP without TLS is ended and logged with its reason."""
    with harness.Raw(secure) as raw:
        raw.send(b"GET /app HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"HTTP" not in raw.rest()
    secure.wait_for("connection-ended .*http request")


# ---- Certificates of clients ----

def test_mutual_curl(house, mutual):
    for version in "1.2", "1.3":
        bounds = ["--tlsv" + version, "--tls-max", version]
        assert house.curl(mutual.port, *bounds, "--cert", house.client[0], "--key", house.client[1])[:2] == (0, "200")
        assert house.curl(mutual.port, *bounds)[0] != 0
        mutual.wait_for("connection-ended .*peer did not return a certificate")
        assert house.curl(mutual.port, *bounds, "--cert", house.stranger[0], "--key", house.stranger[1])[0] != 0
        mutual.wait_for("connection-ended .*unable to get local issuer certificate")


def test_mutual_python(house, mutual):
    address = f"127.0.0.1:{mutual.port}"
    with house.channel(address, house.client) as channel:
        client = rpcs.Client(channel, house.store.alice.headers())
        client("ListApps")
        # A certificate is no key: who has one still needs the other.
        assert client.by([]).outcome("ListApps") == "UNAUTHENTICATED"
    for client in None, house.stranger:
        with house.channel(address, client) as channel:
            assert rpcs.Client(channel, house.store.alice.headers()).outcome("ListApps") == "UNAVAILABLE"
    mutual.wait_for(r'call-failed .*peer="127\.0\.0\.1:\d+,cn=client"')


def test_mutual_node(house, mutual):
    class At:
        address = f"127.0.0.1:{mutual.port}"

    seen = test_node.run_client(At, house.store, TLS_CA=house.authority.ca, TLS_CERT=house.client[0],
                                TLS_KEY=house.client[1])
    assert seen["got"] == seen["created"]


def test_mutual_node_in_vain(house, mutual):
    """grpc-js without a certificate, with another authority's, and with one that is out of date."""
    class At:
        address = f"127.0.0.1:{mutual.port}"

    for pair in None, house.stranger, house.authority.issue("old", days=-1):
        own = {"TLS_CERT": pair[0], "TLS_KEY": pair[1]} if pair else {}
        seen = test_node.run_client(At, house.store, TLS_CA=house.authority.ca, **own)
        assert {seen[call]["error"]["code"] for call in ("health", "created", "team_app", "listed")} == {"UNAVAILABLE"}


def test_mutual_expired(house, mutual):
    """A certificate that was good once."""
    old = house.authority.issue("old", days=-1)
    for version in "1.2", "1.3":
        assert house.curl(mutual.port, "--tlsv" + version, "--tls-max", version, "--cert", old[0], "--key", old[1])[0] != 0
        mutual.wait_for("connection-ended .*certificate has expired")
    with house.channel(f"127.0.0.1:{mutual.port}", old) as channel:
        assert rpcs.Client(channel, house.store.alice.headers()).outcome("ListApps") == "UNAVAILABLE"


# ---- Administrators over TCP ----

@pytest.mark.parametrize("option", ["--client-ca", "--admin-ca"])
def test_admin(house, option):
    """TLS 1.3 and a certificate, and the whole of AdminService; the public port demands one only if told to."""
    with serving(house.store.data,
                 *house.options(None, option, house.authority.ca, "--admin", "127.0.0.1:0")) as server:
        listening = next(line for line in server.stderr if " listening " in line)
        port = int(listening.split("admin-address=127.0.0.1:")[1].split()[0])
        with house.channel(f"127.0.0.1:{port}", house.client) as channel:
            assert len(list(rpcs.Client(channel)("ListUsers").users)) >= 4
        with house.channel(f"127.0.0.1:{port}") as channel:
            assert rpcs.Client(channel).outcome("ListUsers") == "UNAVAILABLE"
        old = house.context(house.client)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(OSError):
            house.connect(port, old)
        public = house.curl(server.port)
        assert (public[0] == 0) == (option == "--admin-ca")
        # Tools go on through the socket.
        assert tool("user", "list", "--data", house.store.data).returncode == 0


# ---- What is refused ----

def refused(house, *options, listen="127.0.0.1:0"):
    answer = tool("serve", "--data", house.store.data, "--listen", listen, "--map-size", "4G", *options)
    assert answer.returncode == 2, answer
    return answer.stderr


def test_unsafe(house, tmp_path):
    cert, key = house.pair
    ca = house.authority.ca
    assert "--tls-key" in refused(house, "--tls-cert", cert)
    assert "--tls-cert" in refused(house, "--tls-key", key)
    assert "--tls-cert" in refused(house, "--client-ca", ca)
    assert "--admin ADDR:PORT" in refused(house, *house.options(), "--admin-ca", ca)
    assert "--admin-ca" in refused(house, "--admin", "127.0.0.1:0")
    assert "--admin-ca" in refused(house, *house.options(), "--admin", "127.0.0.1:0")
    assert "--tls-cert" in refused(house, listen="0.0.0.0:0")
    assert "does not belong" in refused(house, *house.options((cert, house.client[1])))
    assert "Cannot open" in refused(house, *house.options(("/nowhere", key)))
    os.chmod(key, 0o644)
    assert "chmod o=" in refused(house, *house.options())
    os.chmod(key, 0o600)


def test_demo(tmp_path, house):
    """A demo store stays on loopback, TLS or not, for whomever."""
    data = str(tmp_path / "demo")
    assert tool("init", "--demo", "--data", data).returncode == 0
    for options in (["--listen", "0.0.0.0:0"], ["--listen", "0.0.0.0:0", "--insecure"],
                    ["--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0", "--admin-ca", house.authority.ca]):
        answer = tool("serve", "--data", data, *house.options(), *options)
        assert answer.returncode == 2 and "demo store" in answer.stderr


def test_open_world(house):
    """With TLS any address may be listened on."""
    with serving(house.store.data, *house.options()) as server:
        assert server.port
    child = subprocess.Popen([harness.ALLOD, "serve", "--data", house.store.data, "--listen", "0.0.0.0:0",
                              "--map-size", "4G", *house.options()], stderr=subprocess.PIPE, text=True)
    try:
        assert "listening address=0.0.0.0:" in child.stderr.readline()
    finally:
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=BOUND_SECONDS)
    assert child.returncode == 0


# ---- New certificates ----

def serial_at(house, port):
    with house.connect(port) as connection:
        return int(connection.getpeercert()["serialNumber"], 16)


def test_reload_under_load(tmp_path, house):
    """SIGHUP again and again while calls run: none fails, no connection is dropped, new ones see the new certificate."""
    cert, key = house.authority.issue("renewed")
    failures, counts, go_on = [], [0, 0, 0], threading.Event()

    def call(number, server):
        with house.channel(f"127.0.0.1:{server.port}") as channel:
            client = rpcs.Client(channel, house.store.alice.headers())
            try:
                while not go_on.is_set():
                    client("ListApps", page_size=1)
                    counts[number] += 1
            except grpc.RpcError as error:
                failures.append(error)

    with serving(house.store.data, *house.options((cert, key))) as server:
        with house.connect(server.port) as old:
            before = int(old.getpeercert()["serialNumber"], 16)
            assert before == house.authority.serial
            threads = [threading.Thread(target=call, args=(i, server)) for i in range(3)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(5):
                    house.authority.issue("renewed")
                    server.child.send_signal(signal.SIGHUP)
                    server.wait_for(" reloaded .*certificate-days-left=")
                    assert serial_at(house, server.port) == house.authority.serial
            finally:
                go_on.set()
                for thread in threads:
                    thread.join(timeout=BOUND_SECONDS)
            assert not failures and min(counts) > 0
            # The connection from before all of that still answers.
            old.sendall(b"GET /app HTTP/1.1\r\nHost: localhost\r\nx-api-key: " + house.store.alice.key.encode() +
                        b"\r\n\r\n")
            assert old.recv(12) == b"HTTP/1.1 200"


def test_bad_reload(house):
    """A pair that does not match, has expired, is open to all, is gone or is no file: the log says so, and the old one serves on."""
    cert, key = house.authority.issue("kept")
    serial = house.authority.serial
    expired = house.authority.issue("expired", days=-1)

    def replace(target, source, mode=0o600):
        with open(target, "wb") as out:
            out.write(source)
        os.chmod(target, mode)

    good = read(cert), read(key)
    with serving(house.store.data, *house.options((cert, key), "--client-ca", house.authority.ca)) as server:
        def attempt(words):
            server.child.send_signal(signal.SIGHUP)
            server.wait_for(f"error not-reloaded why=.*{words}")
            with house.connect(server.port, house.context(house.client)) as connection:
                assert int(connection.getpeercert()["serialNumber"], 16) == serial
            replace(cert, good[0])
            replace(key, good[1])

        replace(key, read(house.pair[1]))
        attempt("does not belong")
        replace(cert, read(expired[0]))
        replace(key, read(expired[1]))
        attempt("has expired")
        replace(key, good[1], 0o644)
        attempt("Everybody")
        os.unlink(cert)
        attempt("Cannot open")
        os.unlink(cert)
        os.mkfifo(cert)  # whose opening waits for a writer
        server.child.send_signal(signal.SIGHUP)
        server.wait_for("error not-reloaded why=.*is not a file")
        os.unlink(cert)
        replace(cert, good[0])
        server.child.send_signal(signal.SIGHUP)
        server.wait_for(" reloaded ")


def test_sighup_without_tls(tmp_path):
    """There is nothing to be read, and nothing ends."""
    store = Store(tmp_path / "store")
    with serving(store.data) as server:
        server.child.send_signal(signal.SIGHUP)
        server.wait_for("not-reloaded")
        assert server.child.poll() is None
