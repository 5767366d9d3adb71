"""Runs programs of the host in a plain environment, and tells in a sentence why one failed. Standard library only."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, below

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_TOLD_LINES = 5  # of a failed program's last words
_C_LOCALE = {"LC_ALL": "C"}


def output_of(
    root: Path,
    program: str,
    arguments: Iterable[str],
    *,
    seconds: int,
    advice: str,
    environment: Mapping[str, str] = _C_LOCALE,
) -> str:
    """Run it and give its output.

    Args:
        root: put before the program's path.
        program: its path.
        arguments: as they are, without a shell.
        seconds: after which it is ended.
        advice: how things are when it has failed, and what to do: the end of the sentence.
        environment: beside PATH and HOME.

    Raises:
        HostError: it is not there, does not end, or fails; the last lines of what it said are told.

    """
    words = list(arguments)
    try:
        done = subprocess.run(
            [str(below(root, program)), *words],
            env={"PATH": _PATH, "HOME": "/root", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except OSError as error:
        raise HostError(f"{program} can't be run: {error.strerror}", error.errno) from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{program} did not end in {seconds} s; run it by hand, see what it waits for") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).splitlines()[-_TOLD_LINES:]
        said = " / ".join(line.strip() for line in lines if line.strip())
        raise HostError(
            f"{' '.join([program, *words])} failed with exit code {done.returncode} ({said or 'it said nothing'}); "
            f"{advice}"
        )
    return done.stdout
