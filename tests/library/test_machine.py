"""What the process is told about memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

ARENAS = """
import ctypes, sys, threading
from pwrank.machine import share_freed_memory, usable_cores

process = ctypes.CDLL(None)
if not hasattr(process, "malloc_info"):
    sys.exit(77)
process.fopen.restype = ctypes.c_void_p

def arenas(path):
    file = ctypes.c_void_p(process.fopen(path.encode(), b"w"))
    process.malloc_info(0, file)
    process.fclose(file)
    return open(path).read().count("<heap nr=")

if sys.argv[2] == "shared":
    share_freed_memory()
before, all_there = arenas(sys.argv[1]), threading.Barrier(7)

def work():
    process.malloc(100_000)
    all_there.wait()

threads = [threading.Thread(target=work) for _ in range(7)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(before, arenas(sys.argv[1]), usable_cores())
"""

HOLES = """
import ctypes, sys
from pwrank.machine import hand_back_freed_memory

process = ctypes.CDLL(None)
if not hasattr(process, "malloc_trim"):
    sys.exit(77)

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

process.malloc.restype = ctypes.c_void_p
blocks = [process.malloc(100_000) for _ in range(2000)]
for block in blocks:
    ctypes.memset(block, 1, 100_000)
kept = blocks[::20]
for block in sorted(set(blocks) - set(kept)):
    process.free(ctypes.c_void_p(block))
before = resident()
hand_back_freed_memory()
print(before, resident())
"""


def test_holes_between_what_is_kept_are_handed_back():
    done = subprocess.run(
        [sys.executable, "-c", HOLES], capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip("another allocator")
    before, after = map(int, done.stdout.split())
    assert after < before - 150_000_000


@pytest.mark.parametrize("told", ["shared", "apart"])
def test_threads_share_as_many_arenas_as_there_are_cores(tmp_path, told):
    command = [sys.executable, "-c", ARENAS, str(tmp_path / "info.xml"), told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("another allocator")
    before, after, cores = map(int, done.stdout.split())
    if told == "shared":
        assert after <= max(before, cores)
    else:
        assert after > before, "else there is nothing to share"
