"""What a person who builds and changes the code relies on: configure's refusals and the functions that do not compile."""

import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def configure(*options):
    return subprocess.run(["./configure", *options], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("option", ["--bogus", "bogus", "--enable-tls", "--sanitize=memory", "--sanitize", "--prefix=here"])
def test_configure_refuses(option):
    """An option that configure does not know, or a value that it cannot use, is named and ends it at once with 2."""
    answer = configure(option)
    assert answer.returncode == 2
    assert option in answer.stderr
    assert answer.stdout == ""


def test_configure_help_names_every_option():
    answer = configure("--help")
    assert answer.returncode == 0
    for option in ["--install-deps", "--sanitize=", "--debug", "--prefix=", "--help"]:
        assert option in answer.stdout


def compile_with_bans(tmp_path, line):
    source = tmp_path / "source.c"
    source.write_text("void *use(void);\nvoid *use(void)\n{\n        return (void *)%s;\n}\n" % line)
    command = [os.environ.get("CC", "cc"), "-fsyntax-only", "-include", "engine/banned.h", str(source)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


BANNED = [name for names in re.findall(r"^#pragma GCC poison (.+)$", open(f"{ROOT}/engine/banned.h").read(), re.M)
          for name in names.split()]


@pytest.mark.parametrize("name", ["strcpy", "sprintf", "strtok", "gmtime", "strcat"])
def test_list_of_banned_functions(name):
    assert name in BANNED


@pytest.mark.parametrize("name", BANNED)
def test_banned_function_does_not_compile(tmp_path, name):
    answer = compile_with_bans(tmp_path, name)
    assert answer.returncode != 0
    assert "poisoned" in answer.stderr


def test_other_functions_compile(tmp_path):
    answer = compile_with_bans(tmp_path, "snprintf")
    assert answer.returncode == 0, answer.stderr


UNIT = ["Type=notify", "User=allod", "LimitNOFILE=32768", "LimitCORE=1", "NoNewPrivileges=yes", "CapabilityBoundingSet=",
        "ProtectSystem=strict", "MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service"]


def test_unit():
    """What the unit for systemd promises; `ninja install` finds the path in it that it replaces."""
    with open(f"{ROOT}/tools/allod.service") as file:
        lines = file.read().splitlines()
    assert set(UNIT) <= set(lines)
    assert "ExecStart=/usr/local/bin/allod serve --data /var/lib/allod $ALLOD_OPTIONS" in lines
    with open(f"{ROOT}/build.ninja") as file:
        assert "sed 's|/usr/local/bin/|$prefix/bin/|' tools/allod.service" in file.read()


CMOCKA = """[==========] Running {ran} test(s).
[==========] {ran} test(s) run.
[  PASSED  ] {passed} test(s).
[  SKIPPED ] {skipped} test(s), listed below:
"""


@pytest.mark.parametrize("passed, skipped, failed", [(2, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1)])
def test_run_counts(tmp_path, passed, skipped, failed):
    """A test that was skipped has neither passed nor failed; one that is in no line has failed."""
    program = tmp_path / "program"
    text = CMOCKA.format(ran=passed + skipped + failed, passed=passed, skipped=skipped)
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\nexit {failed}\n")
    program.chmod(0o755)
    answer = subprocess.run([f"{ROOT}/tests/run", str(program)], capture_output=True, text=True, timeout=60)
    assert answer.returncode == (1 if failed else 0)
    assert answer.stdout.splitlines()[-1] == f"{passed} passed, {failed} failed"
