"""The unit for systemd: it is well formed, takes away what it says, and leaves what the server and its tools need. No core is left."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile

import grpc
import pytest

import certificates
import harness
import rpcs
from harness import JSON, ROOT, serving, tool

UNIT = os.path.join(ROOT, "tools/allod.service")
CONFINED = os.path.join(ROOT, "tests/conform/confined")

# What remains is what it is for (sockets), and what systemd counts for being unknown to it.
EXPOSURE_MAX = 1.2


def analyze(*words):
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=harness.BOUND_SECONDS)


def unit_settings(name):
    with open(UNIT) as file:
        return re.findall(rf"^{name}=(.*)$", file.read(), re.M)


@pytest.fixture
def unit(tmp_path):
    """A copy that names the program under test."""
    path = tmp_path / "allod.service"
    with open(UNIT) as file:
        path.write_text(file.read().replace("/usr/local/bin/allod", harness.ALLOD))
    return str(path)


def test_unit_is_well_formed(unit):
    done = analyze("verify", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_unit_with_a_slip_is_found(unit):
    with open(unit, "a") as file:
        file.write("[Service]\nProtectSytem=strict\n")
    assert "ProtectSytem" in analyze("verify", unit).stderr


def test_exposure(unit):
    done = analyze("security", "--offline=true", unit)
    level = float(re.search(r"Overall exposure level for allod.service: ([\d.]+)", done.stdout).group(1))
    print("exposure", level)
    assert level <= EXPOSURE_MAX, done.stdout


def sets():
    """The sets of system calls that systemd knows, by name."""
    found = {}
    for line in analyze("syscall-filter").stdout.splitlines():
        if line.startswith("@"):
            members = found[line.strip()] = set()
        elif line.startswith(" ") and not line.strip().startswith("#"):
            members.add(line.strip())
    return found


def expand(known, word):
    return set().union(*(expand(known, member) for member in known[word])) if word.startswith("@") else {word}


def filter_of_unit():
    allowed, known = set(), sets()
    for setting in unit_settings("SystemCallFilter"):
        words = setting.lstrip("~").split()
        named = set().union(*(expand(known, word) for word in words))
        allowed = allowed - named if setting.startswith("~") else allowed | named
    return allowed


@pytest.fixture
def place():
    """A directory that everybody may look into, and only the service's user writes."""
    path = tempfile.mkdtemp(prefix="allod-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def confined(place, monkeypatch):
    """harness.ALLOD as the unit runs it."""
    home = os.path.join(place, "home")
    os.mkdir(home)
    shutil.copy(harness.ALLOD, os.path.join(place, "program"))
    shutil.copy(CONFINED, os.path.join(place, "confined"))
    with open(os.path.join(place, "filter"), "w") as out:
        out.write("\n".join(sorted(filter_of_unit())))
    script = os.path.join(place, "allod")
    with open(script, "w") as out:
        out.write(f'#!/bin/sh\nexec {place}/confined {place}/filter {place}/program "$@"\n')
    os.chmod(script, 0o755)
    if os.geteuid() == 0:
        os.chown(home, 65534, 65534)
    monkeypatch.setattr(harness, "ALLOD", script)
    return home


needs_plain_build = pytest.mark.skipif(harness.is_sanitized(), reason="sanitizers make system calls of their own")


@needs_plain_build
def test_filter_bites(confined):
    """A program that asks for what the unit takes away dies."""
    place = os.path.dirname(confined)
    for script in "import os; os.chroot('/')", "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)":
        done = subprocess.run([f"{place}/confined", f"{place}/filter", "/usr/bin/python3", "-c", script], capture_output=True)
        assert done.returncode == -signal.SIGSYS, done
    assert {"chroot", "ptrace", "mount", "bpf", "keyctl", "mlock", "setrlimit", "reboot"}.isdisjoint(filter_of_unit())


@needs_plain_build
def test_life_of_a_service(confined):
    """Store, TLS, REST and gRPC, dump, reload, drain and restore, all within the filter and without privileges."""
    store = harness.Store(os.path.join(confined, "store"))
    authority = certificates.Authority(confined, "authority")
    options = authority.options()
    key = options[3]
    if os.geteuid() == 0:
        os.chown(key, 65534, 65534)
    dump, again = os.path.join(confined, "dump"), os.path.join(confined, "again")
    with serving(store.data, *options) as server:
        for version in "--http1.1", "--http2":
            done = subprocess.run(["curl", "--silent", "--fail-with-body", version, "--cacert", authority.ca, "--data", json.dumps(harness.APP),
                                   "--header", "content-type: application/json", "--header", f"x-api-key: {store.alice.key}",
                                   f"https://localhost:{server.port}/app"], capture_output=True, timeout=harness.BOUND_SECONDS)
            assert done.returncode == 0, done
        with open(authority.ca, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        with grpc.secure_channel(f"127.0.0.1:{server.port}", credentials) as channel:
            alice = rpcs.Client(channel, store.alice.headers())
            app = alice("CreateApp", app=rpcs.app())
            alice("RunJob", app_id=app.id, input='{"a":1}')
            assert len(alice("ListApps").apps) == 3
            alice("DeleteApp", id=app.id)
        for words in ("dump", "--data", store.data, "--output", dump), ("verify", dump), ("stat", "--data", store.data):
            done = tool(*words)
            assert done.returncode == 0, done
        server.child.send_signal(signal.SIGHUP)
        server.wait_for(" reloaded ")
    for words in ("restore", dump, "--data", again), ("verify", "--data", again):
        done = tool(*words)
        assert done.returncode == 0, done
    with serving(again) as server:
        assert harness.Http1(server)("GET", "/app", store.alice.headers()).status == 200
        with open(f"/proc/{server.child.pid}/status") as file:
            status = file.read()
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.M) and re.search(r"^Seccomp:\s+2$", status, re.M)
        assert re.search(r"^CapEff:\s+0+$", status, re.M)


def test_no_core(tmp_path):
    """The server dies by SIGABRT in the midst of calls: no core, though whoever started it allows one."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        pytest.skip("cores are not to be had here at all")
    store = harness.Store(tmp_path / "store")
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        server = harness.Server(store.data)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    with harness.Raw(server) as raw:
        raw.send(b"GET /app HTTP/1.1\r\nHost: x\r\nx-api-key: " + store.alice.key.encode() + b"\r\n\r\n")
        assert raw.answer().status == 200
        raw.send(b"POST /app HTTP/1.1\r\nHost: x\r\nx-api-key: " + store.alice.key.encode() + b"\r\nContent-Length: 9\r\n\r\n")
        with open(f"/proc/{server.child.pid}/limits") as file:
            limits = file.read()
        assert re.search(r"^Max core file size +1 +1 ", limits, re.M), limits
        os.kill(server.child.pid, signal.SIGABRT)
        _, status = os.waitpid(server.child.pid, 0)
        server.child.returncode = -signal.SIGABRT
    assert os.WTERMSIG(status) == signal.SIGABRT and not os.WCOREDUMP(status)
    assert unit_settings("LimitCORE") == ["1"]
