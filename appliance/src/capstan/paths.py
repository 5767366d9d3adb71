"""Where things are on a host. Every module takes paths from here, so that a test can move the whole tree."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT_VARIABLE = "CAPSTAN_ROOT"
ENGINE_VARIABLE = "CAPSTAN_ENGINE"
GENERATOR_VARIABLE = "CAPSTAN_GEN"


@dataclass(frozen=True, slots=True)
class Paths:
    """The files and directories of the appliance under one root; the programs are found apart from it."""

    root: Path = Path("/")
    engine: Path = Path("/usr/bin/capstan-engine")
    generator: Path = Path("/usr/bin/capstan-gen")

    @classmethod
    def from_environment(cls) -> Paths:
        """The host's own paths, unless CAPSTAN_ROOT, CAPSTAN_ENGINE or CAPSTAN_GEN say otherwise."""
        own = cls()
        return cls(
            Path(os.environ.get(ROOT_VARIABLE, own.root)),
            Path(os.environ.get(ENGINE_VARIABLE, own.engine)),
            Path(os.environ.get(GENERATOR_VARIABLE, own.generator)),
        )

    @property
    def is_host(self) -> bool:
        """Whether these are the host's own paths, so that its service manager is ours to ask."""
        return self.root == Path("/")

    @property
    def config(self) -> Path:
        """Settings, written by the role or by hand."""
        return self.root / "etc/capstan/capstan.yml"

    @property
    def run(self) -> Path:
        """What lasts until the next boot."""
        return self.root / "run/capstan"

    @property
    def engine_config(self) -> Path:
        """The engine's resolved settings."""
        return self.run / "engine.json"

    @property
    def control(self) -> Path:
        """The engine's control socket."""
        return self.run / "engine.sock"

    @property
    def pid(self) -> Path:
        """Pid of the supervisor, who holds a lock on this file as long as it lives."""
        return self.run / "supervisor.pid"

    @property
    def state(self) -> Path:
        """What the supervisor publishes about itself, whenever that changes."""
        return self.run / "supervisor.json"

    @property
    def nic_snapshot(self) -> Path:
        """Port settings as they were before the supervisor changed them."""
        return self.run / "nic-snapshot.json"

    @property
    def ledger(self) -> Path:
        """The engine's counters in shared memory."""
        return self.root / "dev/shm/capstan/ledger"

    @property
    def layout(self) -> Path:
        """The ledger's description by the engine that was started last; an upgrade may have replaced it since."""
        return self.run / "ledger-layout.json"

    @property
    def library(self) -> Path:
        """What outlives a boot: captures and the journal."""
        return self.root / "var/lib/capstan"

    @property
    def advice(self) -> Path:
        """What `auto` chose for this host, and what was measured on it."""
        return self.library / "advice"

    @property
    def targets(self) -> Path:
        """The directory of the targets in force and their log."""
        return self.library / "targets"

    @property
    def settings_targets(self) -> Path:
        """The inventory's targets, as the deployment left them beside the settings."""
        return self.config.with_name("targets.json")

    @property
    def journal(self) -> Path:
        """One JSON line for each run of the engine."""
        return self.library / "runs.jsonl"

    @property
    def log(self) -> Path:
        """The supervisor's log where no service manager keeps one."""
        return self.root / "var/log/capstan/supervisor.log"
