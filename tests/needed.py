"""Tools of the system that a test needs: without them it is skipped and says why; CI, which has them, skips nothing."""

import os
import shutil
from collections.abc import Generator
from typing import Any

import pytest


def needed(tool: str, *, package: str = "") -> str:
    """Return the path of a tool, or skip the test."""
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed: apt-get install {package or tool}")
    return found


def refused(report: Any) -> Any:
    """Return the report, a failure if it was of a test that was skipped in CI."""
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"CI skips nothing: {report.longrepr[-1] if report.longrepr else 'no reason was given'}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Refuse skipped tests."""
    return refused((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """Refuse skipped files."""
    return refused((yield))
