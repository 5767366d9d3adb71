"""Lets the changes that a run makes to the disk fail, or end, one after the other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.capstan.appliance.plugins.module_utils.host import record


class ResetError(BaseException):
    """The machine ends here; nothing of the program runs any more."""


@contextlib.contextmanager
def ending(monkeypatch: pytest.MonkeyPatch, step: int, error: type[BaseException]) -> Iterator[list[str]]:
    """Let the step-th change of the disk end in an error: once for OSError, for all that follows in a reset."""
    done: list[str] = []

    def counted(name: str, real: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            done.append(name)
            if len(done) - 1 == step or (len(done) - 1 > step and error is ResetError):
                raise error(5, name)
            return real(*arguments, **keywords)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "mkdir", "rmdir", "chmod", "symlink_to"):
            patch.setattr(Path, name, counted(name, getattr(Path, name)))
        for name in ("fsync", "fchmod", "fchown"):
            patch.setattr(os, name, counted(name, getattr(os, name)))
        patch.setattr(record, "put", counted("put", record.put))
        yield done


def without_records(snapshot: Any) -> dict[str, Any]:
    """Without what an interrupted writing of a record leaves, which the next takes away."""
    return {path: value for path, value in snapshot.items() if not path.startswith("var/lib/capstan-host")}
