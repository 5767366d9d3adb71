"""What the supervisor publishes, for `capstan status` and for the supervisor that follows it after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from capstan.accounting import Session
from capstan.files import boot_id, read_json, write_json
from capstan.paths import Paths

FINAL = frozenset({"stopped", "failed"})


@dataclass(frozen=True, slots=True)
class State:
    """One publication."""

    state: str
    """starting, capturing, restarting, stopping, stopped or failed."""
    pid: int
    """The supervisor."""
    host: str
    methods: tuple[str, ...]
    directory: str
    """Where the capture files go."""
    session: Session
    boot_id: str
    live_pid: int | None = None
    """The engine whose ledger is not yet part of the session's balance."""
    reason: str | None = None
    """Why it failed, or why it is restarting."""
    unaccounted: int = 0
    """Packets that stayed unaccounted for, over all runs."""
    engine: Mapping[str, Any] = field(default_factory=dict)
    """The engine's own last answer to `status`."""
    load: Mapping[str, Any] = field(default_factory=dict)
    """Memory and CPU of the engine's process."""
    alarms: tuple[Mapping[str, str], ...] = ()
    degraded: tuple[str, ...] = ()


def publish(paths: Paths, state: State, group: int | None = None) -> None:
    """Replace the published state."""
    write_json(paths.state, {**asdict(state), "session": state.session.to_json()}, group=group)


def read(paths: Paths) -> State | None:
    """The state published last; None when there is none of this boot."""
    raw = read_json(paths.state)
    if raw is None or raw["boot_id"] != boot_id():
        return None
    sequences = {key: tuple(raw[key]) for key in ("methods", "alarms", "degraded")}
    return State(**{**raw, **sequences, "session": Session.from_json(raw["session"])})
