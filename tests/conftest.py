"""What holds for every test: offline, one thread, no cache of this machine, no deadline on a property.

`ULT_EXAMPLES` sets how many examples a property tries, drawn anew each time; without it they are few and the same.
"""

import gc
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from ult.owner.pipeline import engine

pytest_plugins = ["bucket", "drawn", "leak", "needed", "passphrases", "trained"]

CACHE = tempfile.mkdtemp(prefix="ult-tests-")
os.environ["OMP_NUM_THREADS"] = "1"  # two torch threads beside a busy process take fifteen times as long
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HOME"] = CACHE
os.environ.pop("ULT_PASSPHRASE", None)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each process that a test starts compiles the whole package anew
sys.dont_write_bytecode = False

settings.register_profile(
    "ult",
    max_examples=int(os.environ.get("ULT_EXAMPLES", "25")),
    derandomize="ULT_EXAMPLES" not in os.environ,
    deadline=None,  # the first example compiles
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ult")


@pytest.fixture(scope="session", autouse=True)
def quick_workers() -> Iterator[None]:
    """Fork workers from a server that has imported what they import, which takes each nearly a second.

    Like new interpreters they have what is sent to them, and nothing of the tests' process. Commands that run in
    processes of their own, as in test_restart.py and test_interrupt.py, start them as ever.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["ult.owner.pipeline.pieces", "ult.owner.pipeline.deduping"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "get_context", lambda _: server)
        yield


def pytest_unconfigure() -> None:
    shutil.rmtree(CACHE, ignore_errors=True)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over the million objects that imports made: each training here calls it.

    A collection took 0.35 s, 40 % of the time of test_train.py.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the vectors, which compile nearly every kernel: two workers would do it twice.

    Then come files that hold slow tests, so that no worker has a long one left when the others are done.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path.name != "test_vectors.py", item.path not in slow))
