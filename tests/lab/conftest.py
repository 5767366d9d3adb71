"""A lab for each number of queues, and a directory of its own for each test; both go, whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import programs
import pytest
from lab import Lab


def pytest_configure() -> None:
    # As an interrupt, so that labs and engines go with the session however it is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="network namespaces and raw sockets need root"))


def _lab(queues: int) -> Iterator[Lab]:
    with ExitStack() as stack:
        made = Lab(queues)
        stack.callback(made.down)
        made.up()
        yield made


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A port of one queue."""
    yield from _lab(1)


@pytest.fixture(scope="session")
def wide_lab() -> Iterator[Lab]:
    """A port of four queues."""
    yield from _lab(4)


@pytest.fixture(scope="session", autouse=True)
def workspace() -> Iterator[Path]:
    """Where tests leave their files: a short path, for sockets, that other users may enter."""
    path = Path(tempfile.mkdtemp(prefix="capstan-lab-", dir="/tmp"))
    path.chmod(0o755)
    (path / "bin").mkdir()
    programs.copy_to(path / "bin")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def module_place(workspace: Path) -> Path:
    """A directory for an engine that several tests look at."""
    return _place(workspace)


@pytest.fixture
def place(workspace: Path) -> Path:
    """A directory for this test alone."""
    return _place(workspace)


def _place(workspace: Path) -> Path:
    path = workspace / str(len(list(workspace.iterdir())))
    path.mkdir()
    return path
