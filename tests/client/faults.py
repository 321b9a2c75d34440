"""A server whose system calls fail and whose wall clock is stepped on demand: tests/lib/faults.c, preloaded."""

import errno
import mmap
import os
import struct

import pytest

import harness

# The order of FAULTS_LIST in tests/lib/faults.h.
KINDS = ["READ", "PREAD", "WRITE", "PWRITE", "SYNC", "TRUNCATE", "ALLOCATE", "OPEN", "MAKE", "MAP", "LOCK", "ACCEPT",
         "POLL", "WATCH", "CREATE", "BIND", "THREAD", "RANDOM", "HEAP"]

HALF = 0  # in place of an errno: half of a write is done

FIELDS = ["mask", "fail_at", "count", "fired", "error", "is_lasting", "clock_ns"]


class Faults:
    """What the shim and we share."""

    def __init__(self, path, has_heap=False):
        """With `has_heap` allocations may fail too; a sanitizer has a heap of its own."""
        if harness.has_symbol(b"__tsan_init"):
            pytest.skip("ThreadSanitizer must see all system calls itself")
        self.shim = os.path.join(harness.BUILD, "tests", "lib", "faults_heap.so" if has_heap else "faults.so")
        assert os.path.exists(self.shim), f"{self.shim} is not built"  # the loader would go on without it
        with open(path, "wb") as file:
            file.write(bytes(8 * len(FIELDS)))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)
        self.path = str(path)

    def wrapper(self):
        """What to put before a command."""
        sanitizer = os.environ.get("ASAN_OPTIONS", "")
        return ["env", f"LD_PRELOAD={self.shim}", f"ALLOD_FAULTS={self.path}",
                f"ASAN_OPTIONS={sanitizer}:verify_asan_link_order=0"]

    def _set(self, field, value):
        struct.pack_into("q", self.memory, 8 * FIELDS.index(field), value)

    def _get(self, field):
        return struct.unpack_from("q", self.memory, 8 * FIELDS.index(field))[0]

    def arm(self, n, kinds, error, is_lasting=False):
        """The nth call of these kinds from now on fails, and with is_lasting all after it."""
        self._set("fail_at", 0)
        self._set("mask", sum(1 << KINDS.index(kind) for kind in kinds))
        self._set("error", error)
        self._set("is_lasting", is_lasting)
        self._set("count", 0)
        self._set("fired", 0)
        self._set("fail_at", n)

    def disarm(self):
        """How many failed."""
        self._set("fail_at", 0)
        return self._get("fired")

    def count(self):
        return self._get("count")

    def fired(self):
        return self._get("fired")

    def step_clock(self, hours):
        """The wall clock is so many hours off from now on."""
        self._set("clock_ns", int(hours * 3600 * 10**9))


# Failures of the real server, by what it did.
injected_by_phase = {}


def injected(phase, count):
    injected_by_phase[phase] = injected_by_phase.get(phase, 0) + count


def name(error):
    return errno.errorcode.get(error, "half")
