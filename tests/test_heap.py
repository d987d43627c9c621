"""Freed memory is returned to the operating system, so that a process shrinks again."""

import os
import subprocess
import sys

MEASURE = """
import os, sys
from pathlib import Path
from ult.owner.pipeline.memory import return_freed_memory
if sys.argv[1] == "back":
    return_freed_memory()
import numpy as np, pyarrow as pa

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

np.ones(2**20)  # freed, from when on glibc by itself takes blocks of its size from the heap
before = resident()
blocks, small = [], []
for _ in range(20):
    blocks.append(np.ones(5 * 2**17))  # 5 MiB
    small.append(np.ones(2**10))
blocks.clear()
print(pa.default_memory_pool().backend_name, (resident() - before) // 2**20)
"""


def measured(how):
    command = [sys.executable, "-c", MEASURE, how]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("ARROW_", "MALLOC_"))}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=plain)
    backend, megabytes = done.stdout.split()
    return backend, int(megabytes)


def test_what_is_freed_goes_back_to_the_system():
    backend, megabytes = measured("back")
    assert backend == "system"
    assert megabytes < 10
    assert measured("keep")[1] > 50  # or there is nothing to do any more
