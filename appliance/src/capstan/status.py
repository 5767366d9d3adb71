"""The state of the capture as one document, for `capstan status` and everyone who reads its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from capstan import captures, detach, journal, state
from capstan.ledger import Layout, LedgerFile, Snapshot
from capstan.paths import Paths

NOT_RUNNING = frozenset({"stopped", "failed", "dead"})


def read(paths: Paths) -> dict[str, Any]:
    """What is known now; "state" is one of NOT_RUNNING when no supervisor runs.

    "dead" is a supervisor that ended without saying so: the next `capstan up` carries its balance on.
    """
    pid = detach.running(paths)
    published = state.read(paths)
    if published is None:
        return {"state": "stopped" if pid is None else "starting", "supervisor": _process(pid)}
    live = _live(paths, published)
    name = published.state if pid is not None or published.state in state.FINAL else "dead"
    engine = published.engine
    ports = list(engine.get("ports", ()))
    return {
        "host": published.host,
        "state": name,
        "reason": published.reason,
        "method": ", ".join(published.methods),
        "effective_mode": "; ".join(dict.fromkeys(port["effective_mode"] for port in ports)) or None,
        "degraded": list(published.degraded),
        "ports": ports,
        "totals": journal.balance_json(published.session.total(live), published.unaccounted),
        "devices": journal.devices_json(published.session.device_total(live)),
        "uncounted_seconds": dict(published.session.uncounted),
        "runs": published.session.runs + (live is not None),
        "restarts": published.session.crashes,
        "started": published.session.started,
        "files": list(captures.whole_files(Path(published.directory), published.session.started)),
        "output": engine.get("output"),
        "targets": _targets(engine, live),
        "supervisor": _process(pid),
        "engine": dict(published.load) if pid is not None else {},
        "alarms": list(published.alarms) if pid is not None else [],
    }


def _live(paths: Paths, published: state.State) -> Snapshot | None:
    """The ledger of the engine whose run is not in the published balance yet."""
    if published.live_pid is None:
        return None
    snapshot = LedgerFile(paths.ledger, Layout.of_last_start(paths)).snapshot()
    return snapshot if snapshot is not None and snapshot.pid == published.live_pid else None


def _targets(engine: Mapping[str, Any], live: Snapshot | None) -> dict[str, Any] | None:
    """What is known of the targets in force, with the packets that this engine found to be theirs."""
    found = engine.get("targets")
    if found is None:
        return None
    queues = live.queues if live is not None else ()
    matched = sum(int(queue.values.get("target_packets", 0)) for queue in queues)
    unsure = sum(int(queue.values.get("target_unsure", 0)) for queue in queues)
    return {**found, "matched_packets": matched, "unsure_packets": unsure}


def _process(pid: int | None) -> dict[str, Any]:
    if not pid:
        return {}
    try:
        return {"pid": pid, "rss_bytes": psutil.Process(pid).memory_info().rss}
    except psutil.Error:
        return {}
