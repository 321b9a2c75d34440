"""What a person who builds and changes the code relies on: configure's refusals and the functions that do not compile."""

import os
import re
import shlex
import shutil
import subprocess
import time

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


UNITS = ["allod.service", "allod-dump.service", "allod-dump.timer"]
UNIT = ["Type=notify", "User=allod", "LimitNOFILE=32768", "LimitCORE=1", "NoNewPrivileges=yes", "CapabilityBoundingSet=",
        "ProtectSystem=strict", "MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service"]


def test_unit():
    """What the unit for systemd promises; `ninja install` finds the path in it that it replaces."""
    with open(f"{ROOT}/tools/allod.service") as file:
        lines = file.read().splitlines()
    assert set(UNIT) <= set(lines)
    assert "ExecStart=/usr/local/bin/allod serve --data /var/lib/allod $ALLOD_OPTIONS" in lines
    with open(f"{ROOT}/build.ninja") as file:
        assert "sed 's|/usr/local/bin/|$prefix/bin/|' tools/$$unit" in file.read()


def commands_of(unit, place, allod):
    """What ExecStart of a unit runs, in a place of the test's own."""
    with open(f"{ROOT}/tools/{unit}") as file:
        lines = [line[len("ExecStart="):] for line in file.read().splitlines() if line.startswith("ExecStart=")]
    for line in lines:
        for text, instead in (("/usr/local/bin/allod", allod), ("/var/lib/allod-dumps", f"{place}/dumps"), ("/var/lib/allod", f"{place}/store"),
                              ("$ALLOD_DUMP_OPTIONS", ""), ("${ALLOD_DUMP_DAYS}", "30"), ("$$", "$"), ("%%", "%")):
            line = line.replace(text, instead)
        yield shlex.split(line)


def run_unit(unit, place, allod):
    """As systemd does for a oneshot: one after another until one fails."""
    return all(subprocess.run(command, cwd=f"{place}/dumps", capture_output=True, timeout=60).returncode == 0
               for command in commands_of(unit, place, allod))


def test_nightly_dump(tmp_path):
    """The nightly unit leaves a dump of today that verifies, and deletes those past their days only when it does."""
    allod = os.path.abspath(os.environ.get("ALLOD", f"{ROOT}/build/allod"))
    subprocess.run([allod, "init", "--data", tmp_path / "store", "--demo"], check=True, capture_output=True, timeout=60)
    dumps = tmp_path / "dumps"
    dumps.mkdir()
    for name, days in (("old.dump", 40), ("young.dump", 20), ("note", 40)):
        (dumps / name).write_text("x")
        os.utime(dumps / name, (time.time() - days * 86400,) * 2)
    (tmp_path / "store").rename(tmp_path / "away")
    assert not run_unit("allod-dump.service", tmp_path, allod)
    (tmp_path / "away").rename(tmp_path / "store")
    # The dump is made, and does not read back.
    finds_wrong = tmp_path / "finds-wrong"
    finds_wrong.write_text(f'#!/bin/sh\n[ "$1" = verify ] && exit 3\nexec {allod} "$@"\n')
    finds_wrong.chmod(0o755)
    assert not run_unit("allod-dump.service", tmp_path, str(finds_wrong))
    assert sorted(os.listdir(dumps)) == ["new", "note", "old.dump", "young.dump"]
    assert run_unit("allod-dump.service", tmp_path, allod)
    names = sorted(os.listdir(dumps))
    assert len(names) == 3 and re.fullmatch(r"\d{4}-\d\d-\d\d\.dump", names[0]) and names[1:] == ["note", "young.dump"]
    subprocess.run([allod, "verify", dumps / names[0]], check=True, capture_output=True, timeout=60)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there")
def test_units_are_sound(tmp_path):
    """systemd reads all units without a complaint of ours."""
    for unit in UNITS:
        with open(f"{ROOT}/tools/{unit}") as file:
            (tmp_path / unit).write_text(file.read().replace("/usr/local/bin/allod", "/bin/true"))
    told = subprocess.run(["systemd-analyze", "verify", *(str(tmp_path / unit) for unit in UNITS)], capture_output=True, text=True, timeout=60)
    assert not [line for line in told.stderr.splitlines() if "allod" in line], told.stderr


CMOCKA = """[==========] Running {ran} test(s).
[==========] {ran} test(s) run.
[  PASSED  ] {passed} test(s).
[  SKIPPED ] {skipped} test(s), listed below:
"""


def run(tmp_path, text, status):
    """What tests/run says of a program that prints the text."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\nexit {status}\n")
    program.chmod(0o755)
    return subprocess.run([f"{ROOT}/tests/run", str(program)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("passed, skipped, failed", [(2, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1)])
def test_run_counts(tmp_path, passed, skipped, failed):
    """A test that was skipped has neither passed nor failed, and is told; one that is in no line has failed."""
    answer = run(tmp_path, CMOCKA.format(ran=passed + skipped + failed, passed=passed, skipped=skipped), failed)
    lines = answer.stdout.splitlines()
    assert answer.returncode == (1 if failed else 0)
    assert lines[-1] == f"{passed} passed, {failed} failed"
    assert (f"({passed} passed, {failed} failed, {skipped} skipped, " in lines[0]) == (skipped > 0)
    assert [line for line in lines if line.startswith("skipped: ")] == [f"skipped: {skipped}"] * bool(skipped)
    assert not skipped or lines[-2] == f"skipped: {skipped}"


def test_run_figures(tmp_path):
    """Of what a test that passes has printed its figures are shown, and nothing else."""
    figures = ["1200 cuts survived: 700 with all of what was not synced", "3 kills of the server, 1 of them while it started",
               "failures injected: 7 (a method)"]
    text = "".join(f"{figure}\nnot of it: {figure}\n" for figure in figures)
    assert run(tmp_path, text, 0).stdout.splitlines()[1:-1] == [f"    {figure}" for figure in figures]
    assert "not of it" in run(tmp_path, text, 1).stdout
