"""Fixtures: one store and one server for all tests that need no server of their own."""

import pytest

import faults
import harness
import rpcs


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return harness.Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def server(store):
    with harness.serving(store.data) as running:
        yield running


@pytest.fixture(autouse=True)
def still_well(request):
    """After each test that used the shared server, it still runs."""
    yield
    if "server" in request.fixturenames:
        running = request.getfixturevalue("server")
        assert running.child.poll() is None, "".join(running.stderr)[-4000:]


@pytest.fixture(scope="session")
def http1(server):
    client = harness.Http1(server)
    yield client
    client.close()


@pytest.fixture(scope="session")
def http2(server):
    return harness.Curl(server)


@pytest.fixture(scope="session", params=["http1", "http2"])
def web(request):
    """REST over both versions of HTTP."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def channel(server):
    with rpcs.channel(server.address) as opened:
        yield opened


@pytest.fixture(scope="session")
def alice(store, channel):
    """gRPC in alice's personal scope."""
    return rpcs.Client(channel, store.alice.headers())


@pytest.fixture(scope="session")
def bob(store, channel):
    return rpcs.Client(channel, store.bob.headers())


@pytest.fixture(scope="session")
def carol(store, channel):
    return rpcs.Client(channel, store.carol.headers())


@pytest.fixture(scope="session")
def dave(store, channel):
    return rpcs.Client(channel, store.dave.headers())


@pytest.fixture(scope="session")
def alice_in_team(store, channel):
    return rpcs.Client(channel, store.alice.headers(store.team))


@pytest.fixture(scope="session")
def bob_in_team(store, channel):
    return rpcs.Client(channel, store.bob.headers(store.team))


def pytest_terminal_summary(terminalreporter):
    """Figures, which tests/run passes on."""
    for phase, count in faults.injected_by_phase.items():
        terminalreporter.write_line(f"failures injected: {count} (the real server: {phase})")
