"""Changes of the targets in force: by the engine that runs, or by its program where none does.

Both are the same code (native/targets): what is refused changes nothing, and what is answered is in force.
"""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from capstan import control
from capstan.errors import OperatorError
from capstan.paths import Paths
from capstan.targets import Target, TargetError, parse, plain_values, read_file

if TYPE_CHECKING:
    from capstan.config import CaptureConfig

_LINE_MAX: Final = 4000  # of a request; the engine takes 4096 bytes
_TIMEOUT_SECONDS: Final = 60.0
_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.25
_NONE: Final = (
    "This host captures everything; write targets: [] into its settings, or capture_targets, and start again."
)


@dataclass(frozen=True, slots=True)
class InForce:
    """The targets in force."""

    serial: int
    targets: tuple[Mapping[str, Any], ...]
    """As targets.json has them, with their origin."""

    def of(self, origin: str) -> tuple[Target, ...]:
        """Those of an origin."""
        return parse([entry for entry in self.targets if entry["origin"] == origin], "targets.json")


@dataclass(frozen=True, slots=True)
class Difference:
    """What would change."""

    added: tuple[Target, ...]
    removed: tuple[Target, ...]
    changed: tuple[tuple[Target, Target], ...]
    """Before and after."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def in_force(paths: Paths) -> InForce:
    """Read the set in force.

    Raises:
        OperatorError: it cannot be read.

    """
    found = _read(paths)
    # The engine answers a change before it has written the file: its serial is the one that counts.
    for _ in range(_TRIES):
        if found.serial >= _serial(paths):
            return found
        time.sleep(_PAUSE_SECONDS)
        found = _read(paths)
    return found


def _serial(paths: Paths) -> int:
    """Serial of the set that the engine matches against; 0 where none runs, or we may not ask it."""
    try:
        told = control.call(paths.control, {"cmd": "targets"})["targets"]
    except control.ControlError:
        return 0
    return told["serial"] if told is not None else 0


def _read(paths: Paths) -> InForce:
    file = paths.targets / "targets.json"
    try:
        document = plain_values(file.read_text(encoding="utf-8"), str(file))
    except FileNotFoundError:
        if not paths.targets.is_dir():
            raise OperatorError(_NONE) from None
        return InForce(0, ())
    except PermissionError:
        raise OperatorError(
            f"{file} may be read by root and the engine's group alone; become root, or join that group."
        ) from None
    assert isinstance(document, dict)  # noqa: S101 - for the type checker: the engine wrote it
    return InForce(document["serial"], tuple(document["targets"]))


def difference(before: Iterable[Target], after: Iterable[Target]) -> Difference:
    """Compare two lists by their ids."""
    was = {target.id: target for target in before}
    now = {target.id: target for target in after}
    return Difference(
        added=tuple(target for key, target in now.items() if key not in was),
        removed=tuple(target for key, target in was.items() if key not in now),
        changed=tuple((was[key], target) for key, target in now.items() if key in was and was[key] != target),
    )


def who() -> str:
    """Who asks, as far as the environment knows: the account behind sudo, or our own."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def change(paths: Paths, document: Mapping[str, Any], claim: str | None = None) -> dict[str, Any]:
    """Have targets changed, and return what the engine says: serial, count, added, removed, changed.

    Args:
        paths: of the host.
        document: the change: add, remove, replace, origin, dry_run.
        claim: who asks, for the log; None asks the environment.

    Raises:
        OperatorError: with the engine's sentence; then nothing was changed.

    """
    whole = {"who": claim or who(), **document}
    for _ in range(_TRIES):
        try:
            return _by_engine(paths, whole)
        except control.NoEngineError:
            pass
        if not paths.targets.is_dir():
            raise OperatorError(_NONE)
        answer = _by_program(paths, whole)
        if answer is not None:
            return answer
        time.sleep(_PAUSE_SECONDS)  # an engine that starts, or stops
    raise OperatorError(f"Another process has the targets in {paths.targets} and answers nobody; try again later.")


def _by_engine(paths: Paths, document: Mapping[str, Any]) -> dict[str, Any]:
    request = {"cmd": "targets_change", **document}
    if len(json.dumps(request)) < _LINE_MAX:
        return control.call(paths.control, request, _TIMEOUT_SECONDS)
    passed = {"cmd": "targets_change", "passed": True}
    return control.call(paths.control, passed, _TIMEOUT_SECONDS, json.dumps(document).encode())


def _by_program(paths: Paths, document: Mapping[str, Any]) -> dict[str, Any] | None:
    """By the engine's program in one go; None when another process has the targets just now."""
    command = [str(paths.engine), "--log", "json", "--targets", str(paths.targets), "--change", "-"]
    try:
        done = subprocess.run(command, input=json.dumps(document), capture_output=True, text=True, check=False)
    except OSError as error:
        raise OperatorError(
            f"The engine {paths.engine} cannot be started ({error.strerror}); install the package capstan-engine."
        ) from error
    if done.returncode == 0:
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    sentence = _last_sentence(done.stderr)
    if "another process has these targets" in sentence:
        return None
    raise OperatorError(f"The engine refused the change: {sentence}.")


def _last_sentence(log: str) -> str:
    lines = log.strip().splitlines() or [""]
    try:
        return str(json.loads(lines[-1])["message"])
    except (ValueError, KeyError, TypeError):
        return lines[-1] or "it gave no reason"


def of_settings(config: CaptureConfig) -> tuple[Target, ...] | None:
    """The targets that the settings say; None where everything is captured.

    Raises:
        TargetError: the file that they name is wrong.

    """
    if config.targets_file is None:
        return config.targets
    path = Path(config.targets_file)
    if not path.is_absolute():
        raise TargetError(
            f"targets_file: is {config.targets_file!r}, which is not absolute on this host; write a path."
        )
    return read_file(path)


def bring_into_force(
    paths: Paths, config: CaptureConfig, claim: str | None = None, *, dry_run: bool = False
) -> dict[str, Any]:
    """Make the targets of the origin `inventory` those of the settings; the others stay.

    Raises:
        OperatorError: with what is wrong; then nothing was changed.

    """
    wanted = of_settings(config)
    if wanted is None:
        raise OperatorError(_NONE)
    add = [target.as_json() for target in wanted]
    return change(paths, {"origin": "inventory", "replace": True, "dry_run": dry_run, "add": add}, claim)
