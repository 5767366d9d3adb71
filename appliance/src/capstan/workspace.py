"""Directories of the appliance, made with the right owner and mode before the engine needs them."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from capstan.config import CaptureConfig
from capstan.errors import OperatorError
from capstan.paths import Paths

_PRIVATE = 0o750


def prepare(paths: Paths, config: CaptureConfig) -> None:
    """Make what is missing: run, ledger, library and output directories.

    The first two are the appliance's own and get owner and mode each time. An output directory that exists belongs to
    whoever made it, and is left as it is.

    Raises:
        OperatorError: when one cannot be made.

    """
    owner = account_ids(config)
    try:
        for directory in (paths.run, paths.ledger.parent):
            directory.mkdir(parents=True, exist_ok=True)
            _own(directory, owner)
        paths.library.mkdir(parents=True, exist_ok=True)
        if config.has_targets:
            paths.targets.mkdir(exist_ok=True)
            _own(paths.targets, owner)
            # A former deployment's account may have been another one.
            for name in ("targets.json", "log.jsonl", ".lock"):
                if (paths.targets / name).exists():
                    os.chown(paths.targets / name, *owner, follow_symlinks=False)
        output = Path(config.output.directory)
        if not output.exists():
            output.parent.mkdir(parents=True, exist_ok=True)
            output.mkdir()
            _own(output, owner)
    except OSError as error:
        raise OperatorError(
            f"The directory {error.filename} cannot be made ({error.strerror}); make it, or run capstan as root."
        ) from error


def account_ids(config: CaptureConfig) -> tuple[int, int]:
    """User and group id of the engine."""
    return pwd.getpwnam(config.user).pw_uid, grp.getgrnam(config.group).gr_gid


def _own(directory: Path, owner: tuple[int, int]) -> None:
    os.chown(directory, *owner)
    directory.chmod(_PRIVATE)
