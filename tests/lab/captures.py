"""Traffic into an engine by any method: over the lab's link, or out of a file that was written before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import programs
from engine import Engine
from lab import Lab
from methods import AF_PACKET, Driver
from traffic import Sent, Shape

from capstan.ledger import Snapshot

_PCAP_HEADER = 24


@dataclass(frozen=True)
class Lot:
    """Frames of one shape; `stream` tells them from others."""

    shape: Shape
    count: int
    stream: int = 1
    rate: int | None = None
    """Frames a second over a link, where it is not the lab's gentle one."""


@dataclass(frozen=True)
class Captured:
    """What was sent, and what became of it."""

    sent: tuple[Sent, ...]
    ledger: Snapshot
    files: tuple[Path, ...]
    port: dict[str, Any]
    """The port's part of the engine's status, when everything had arrived."""
    engine: Engine

    @property
    def accepted(self) -> int:
        """How many frames there were to capture."""
        return sum(one.accepted for one in self.sent)


def taped(path: Path, *lots: Lot) -> tuple[Sent, ...]:
    """Write lots of frames into one file, one after the other."""
    content = b""
    for number, lot in enumerate(lots):
        part = path.with_name(f"{number}{path.suffix}")
        programs.generate("write", part, "--count", lot.count, "--stream", lot.stream, *lot.shape.words)
        # Sections of pcapng and records of ERF follow each other; a pcap file has one header.
        skipped = _PCAP_HEADER if number and path.suffix == ".pcap" else 0
        content += part.read_bytes()[skipped:]
        part.unlink()
    path.write_bytes(content)
    return tuple(Sent(lot.count, lot.count, 0, 0, lot.stream) for lot in lots)


def port_of(driver: Driver, place: Path, **settings: Any) -> dict[str, Any]:
    """The port that lots come to; of a tape, `file` is in the test's directory."""
    if driver.tape:
        settings["options"] = {"file": str(tape_of(driver, place)), **settings.get("options", {})}
    return driver.port(**settings)


def tape_of(driver: Driver, place: Path) -> Path:
    """Where the file of such a driver is to be."""
    return place / f"tape.{driver.tape}"


def capture(
    driver: Driver, lab: Lab, place: Path, *lots: Lot, sections: dict[str, Any] | None = None, **settings: Any
) -> Captured:
    """Capture lots of frames to the last one; `settings` are the port's, `sections` those of engine.json."""
    ports = [port_of(driver, place, **settings)]
    sent = taped(tape_of(driver, place), *lots) if driver.tape else ()
    if driver.tape:
        # An engine ends with its last source: this one, to which nothing comes, keeps it up to be asked.
        ports.append(AF_PACKET.port())
    with Engine(place, *ports, netns=lab.netns, **(sections or {})) as engine:
        if not driver.tape:
            sent = tuple(send(lab, lot) for lot in lots)
        accepted = sum(one.accepted for one in sent)
        engine.wait_for(lambda ledger: ledger.total.wire >= accepted, "everything has arrived")
        port = engine.port_status()
        ledger = engine.stop()
    return Captured(sent, ledger, tuple(engine.files()), port, engine)


def send(lab: Lab, lot: Lot) -> Sent:
    """Send a lot over the link."""
    pace = {} if lot.rate is None else {"rate": lot.rate}
    return lab.send(lot.shape, count=lot.count, stream=lot.stream, **pace)
