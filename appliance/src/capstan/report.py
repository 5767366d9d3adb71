"""The report on numbered traffic: what was sent, what the ledger says of it, and what a reader found in the files."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from jinja2 import Environment, PackageLoader, StrictUndefined

from capstan.errors import UsageError
from capstan.ledger_devices import DeviceCount


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the report tells; its fields are the keys of the JSON report."""

    host: str
    method: str
    effective_mode: str | None
    degraded: tuple[str, ...]
    sent: int
    """Packets that the link took from the sender."""
    refused: int
    """Packets that the link did not take; they never were on the wire."""
    rate: float
    """Packets sent per second."""
    wire: int
    """Packets that reached the capture port, by its own counters."""
    delivered: int
    delivered_bytes: int
    filtered: int
    dropped: Mapping[str, int]
    unaccounted: int
    devices: Mapping[str, Mapping[str, Mapping[str, int]]]
    """By port, what its device counted under its own names: "lost" and "counted"."""
    found: Mapping[str, Any]
    """What `capstan-gen check` read in the files; empty when nobody looked."""
    files: tuple[str, ...]
    seconds: float
    """Wall-clock time of the whole job."""
    targets: Mapping[str, Any] | None = None
    """What the engine said of its targets afterwards; None where everything is captured."""

    @classmethod
    def build(
        cls,
        *,
        sent: Mapping[str, Any],
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any],
        found: Mapping[str, Any] | None,
        seconds: float,
    ) -> Self:
        """Put the report together.

        Args:
            sent: what `capstan-gen send --json` printed.
            before: `capstan status --json` before the traffic; None when the capture began with it.
            after: the same once everything is written.
            found: what `capstan-gen check --json` printed.
            seconds: how long everything took.

        Raises:
            UsageError: when a document lacks what it should have.

        """
        try:
            now, old = after["totals"], (before or {}).get("totals", {})
            same = before is not None and before.get("started") == after["started"]
            old = old if same else {}
            old_devices = (before or {}).get("devices", {}) if same else {}
            earlier = set((before or {}).get("files", ())) if same else set()
            drops = {cause: count - old.get("dropped", {}).get(cause, 0) for cause, count in now["dropped"].items()}
            return cls(
                host=after["host"],
                method=after["method"],
                effective_mode=after["effective_mode"],
                degraded=tuple(after["degraded"]),
                sent=sent["accepted"],
                refused=sent["refused"],
                rate=float(sent["pps"]),
                wire=now["wire"] - old.get("wire", 0),
                delivered=now["delivered"] - old.get("delivered", 0),
                delivered_bytes=now["delivered_bytes"] - old.get("delivered_bytes", 0),
                filtered=now["filtered"] - old.get("filtered", 0),
                dropped={cause: count for cause, count in drops.items() if count},
                unaccounted=now["unaccounted"],
                devices={
                    name: asdict(DeviceCount(**device).since(DeviceCount(**old_devices.get(name, {}))))
                    for name, device in after["devices"].items()
                },
                found=dict(found or {}),
                files=tuple(path for path in after["files"] if path not in earlier),
                seconds=seconds,
                targets=after.get("targets"),
            )
        except KeyError as error:
            raise UsageError(f"The report does not find {error}; give it the JSON of tools of one version.") from None

    @property
    def lost(self) -> int:
        """Dropped packets of all causes."""
        return sum(self.dropped.values())

    @property
    def closes(self) -> bool:
        """Whether each packet that was sent is delivered, filtered or dropped with a cause, and none is left over."""
        return self.unaccounted == 0 and self.sent == self.wire == self.delivered + self.filtered + self.lost

    @property
    def confirmed(self) -> bool | None:
        """Whether the reader found in the files exactly what the ledger says was delivered; None if nobody looked."""
        if not self.found:
            return None
        whole = not any(self.found[key] for key in ("doubled", "damaged", "unreadable"))
        return bool(whole and self.found["distinct"] == self.delivered)

    def to_json(self) -> str:
        """The JSON report."""
        return json.dumps({**asdict(self), "closes": self.closes, "confirmed": self.confirmed}, indent=2)


def next_steps(report: Report, remove: str) -> str:
    """What the reader may do now, in rich's markup.

    Args:
        report: for the names of the files.
        remove: command that removes everything.

    """
    environment = Environment(
        loader=PackageLoader("capstan"),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - plain text for a terminal
    )
    environment.filters["quote"] = shlex.quote
    return environment.get_template("next_steps.txt.j2").render(files=report.files, remove=remove)


def read_document(path: Path) -> dict[str, Any]:
    """Read the JSON that a tool printed.

    Raises:
        UsageError: when it cannot be read.

    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} holds no JSON ({error}); give the output of the tool with --json.") from None
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds no JSON object; give the output of the tool with --json.")
    return document
