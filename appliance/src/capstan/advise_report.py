"""The advice for a host as a document for programs and as text for people, and the table of a fleet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import Any, Final

from capstan.advise import Candidate, PortAdvice, advise, with_ports
from capstan.config import CaptureConfig, Interface
from capstan.links import Network
from capstan.machine import Machine
from capstan.means import Means
from capstan.plan_text import columns, describe_machine

WIDTH: Final = 92
"""Columns of a line: a playbook shows it indented, on a terminal of 100."""
_HEAD: Final = ("", "", "method", "M/s a core", "workers", "M/s in all", "enough", "figures", "needs")
_FLEET: Final = ("host", "port", "to take, M/s", "auto takes", "M/s", "better, M/s")
_NUMBERS: Final = frozenset({"M/s a core", "workers", "M/s in all", "M/s", "to take, M/s"})
_NEEDS: Final = {"nothing": "-", "deployment": "deployment", "reboot": "a reboot", "hand": "a person", "never": "never"}
_LEGEND: Final = (
    "* is what `auto` takes. M/s: million packets of 64 bytes a second, with figures that are prior (estimates), "
    "pipeline (the engine's part measured on this host) or measured (all of it). deployment: a run of deploy.yml "
    "brings it, without a reboot."
)


def report(
    config: CaptureConfig, machine: Machine, network: Network, means: Means, *, whole: bool = False
) -> dict[str, Any]:
    """The advice for one host.

    Args:
        config: its settings.
        machine: what it is made of.
        network: the interfaces of the network namespace that the settings name.
        means: what else it has.
        whole: judge every NIC of the machine, each as if it were captured from alone, in place of the settings' ports.

    """
    advices = tuple(_every_nic(config, machine, network, means)) if whole else advise(config, machine, network, means)
    notes = (*_notes(machine, means), *(() if whole else _passed_over(config)))
    document: dict[str, Any] = {
        "host": config.host,
        "kernel": machine.kernel_release,
        "iommu": machine.iommu_on,
        "measured": means.measured.to_json() if means.measured else None,
        "notes": notes,
        "ports": [_port(advice, known=not whole) for advice in advices],
        "text": tuple(_text(config, machine, advices, notes, known=not whole)),
    }
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return plain


def _every_nic(config: CaptureConfig, machine: Machine, network: Network, means: Means) -> Iterator[PortAdvice]:
    """Advice for each NIC, its ports one by one; for network devices on no PCI bus, but virtual ones; for DAG cards."""
    entries = [
        Interface(pci=nic.pci, name=name, method="auto")
        for nic in machine.nics
        for name in (nic.interfaces if len(nic.interfaces) > 1 else (None,))
    ]
    entries += [
        Interface(name=link.name, method="auto")
        for link in network.links
        if link.kind is None and link.pci is None and link.ethernet and not link.loopback
    ]
    entries += [Interface(name=card.name, method="auto") for card in machine.cards]
    for entry in entries:
        yield from advise(with_ports(config, entry), machine, network, means)


def _notes(machine: Machine, means: Means) -> Iterator[str]:
    measured = means.measured
    if measured is None:
        yield "Nothing was measured on this host; `capstan advise --measure` does, in a few seconds."
        return
    stale = measured.of_another_time(machine.kernel_release, means.engine)
    if stale:
        yield f"This host {stale}: those figures do not count; run `capstan advise --measure` again."
        return
    yield (
        f"Measured on {measured.date} with the engine {measured.engine} on {measured.processor}: "
        f"{_millions(measured.pipeline)} M/s of one core from memory through the engine"
        + (f", {_millions(measured.output)} M/s into {measured.place}" if measured.output else "")
        + "".join(f", {_millions(pps)} M/s by {method} on a veth" for method, pps in measured.lab.items())
        + "."
    )


def _passed_over(config: CaptureConfig) -> Iterator[str]:
    for device in (entry.device for entry in config.interfaces):
        if device is not None:
            other = f"; name: {device.netdev} has the other methods judged" if device.netdev else ""
            yield f"{device} is a virtual device of DPDK, for which there is no other method{other}."


def _port(advice: PortAdvice, *, known: bool) -> dict[str, Any]:
    subject = advice.subject
    return {
        "port": subject.label,
        "pci": subject.nic.pci if subject.nic else None,
        "driver": subject.driver,
        "model": subject.nic.model if subject.nic else None,
        "speed": subject.speed,
        "asked": advice.asked if known else None,
        "expected_pps": advice.expected.pps,
        "expected_source": advice.expected.source,
        "refusals": advice.refusals,
        "notes": advice.notes,
        "chosen": advice.chosen,
        "kept": advice.kept,
        "candidates": [_candidate(candidate) for candidate in advice.candidates],
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    rate = candidate.rate
    return {
        "method": candidate.method,
        "mode": candidate.mode,
        "verdict": candidate.verdict,
        "needs": candidate.needs,
        "pps_per_core": rate.core if rate else None,
        "workers": rate.workers if rate else None,
        "pps": rate.total if rate else None,
        "figures": rate.evidence if rate else None,
        "reason": candidate.reason,
        "changes": [asdict(change) for change in candidate.changes],
    }


def _text(
    config: CaptureConfig, machine: Machine, advices: Sequence[PortAdvice], notes: Sequence[str], *, known: bool
) -> Iterator[str]:
    yield from _folded(f"{config.host}: {describe_machine(machine)}")
    yield f"  kernel {machine.kernel_release}, IOMMU {'on' if machine.iommu_on else 'off'}"
    if not advices:
        yield ""
        yield "There is no NIC to be judged on this host."
    for advice in advices:
        yield ""
        yield from _port_text(advice, known=known)
    yield ""
    for note in (*notes, *((_LEGEND,) if any(advice.candidates for advice in advices) else ())):
        yield from _folded(note)


def _port_text(advice: PortAdvice, *, known: bool) -> Iterator[str]:
    subject, nic = advice.subject, advice.subject.nic
    parts = [
        *([nic.pci] if nic else []),
        f"{subject.driver or 'no driver'}{f' {nic.model}' if nic else ''}",
        f"{_gigabits(subject.speed)} Gbit/s" if subject.speed else "speed not known",
        *([f"node {nic.node}"] if nic and nic.node is not None else []),
        *([f"set to {advice.asked}"] if known else []),
    ]
    yield from _folded(f"{subject.label}: {', '.join(parts)}")
    if advice.refusals:
        for sentence in advice.refusals:
            yield from _folded(f"not for capture: {sentence}", "  ")
        return
    for note in advice.notes:
        yield from _folded(note, "  ")
    yield f"  to take {_millions(advice.expected.pps)} M/s: {advice.expected.source}"
    figures = subject.means.figures(subject.machine.kernel_release)
    if figures and figures.output < advice.expected.pps:
        told = (
            f"no method helps where all of that is kept: {figures.place} took {_millions(figures.output)} M/s of "
            "the smallest packets; a capture_filter does, and blocks_per_queue for a burst"
        )
        yield from _folded(told, "  ")
    if advice.kept:
        yield "  `auto` keeps what it chose before, as long as that can be had"
    possible = [candidate for candidate in advice.candidates if candidate.verdict != "impossible"]
    if possible:
        yield ""
        rows = [_row(advice, place, candidate) for place, candidate in enumerate(possible, 1)]
        yield from (line.rstrip() for line in columns([_HEAD, *rows], right=_right(_HEAD)))
        yield ""
    for place, candidate in enumerate(possible, 1):
        yield from _folded(f"{place} {_called(candidate)}: {'; '.join((candidate.reason, *_changes(candidate)))}", "  ")
    for candidate in advice.candidates:
        if candidate.verdict == "impossible":
            yield from _folded(f"- {candidate.method}: {candidate.reason}", "  ")


def _row(advice: PortAdvice, place: int, candidate: Candidate) -> tuple[str, ...]:
    rate = candidate.rate
    return (
        "*" if candidate.method == advice.chosen else "",
        str(place),
        _called(candidate),
        _millions(rate.core) if rate else "-",
        str(rate.workers) if rate else "-",
        _millions(rate.total) if rate else "-",
        {"enough": "yes", "short": "no", "tests": "for tests"}[candidate.verdict],
        rate.evidence if rate else "-",
        _NEEDS[candidate.needs],
    )


def _changes(candidate: Candidate) -> Iterator[str]:
    words = {"deployment": "the deployment brings", "reboot": "a reboot brings", "hand": "a person has to bring"}
    for by, word in words.items():
        told = [change.sentence for change in candidate.changes if change.by == by]
        if told:
            yield f"{word} {', '.join(told)}"


def fleet_table(documents: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """A line for each port of each host, out of the hosts' documents; a host without one has its `problem`."""
    rows: list[tuple[str, ...]] = []
    problems: list[str] = []
    for document in documents:
        if document.get("problem"):
            problems += _folded(f"{document['host']}: {document['problem']}")
            continue
        ports = document["ports"]
        rows += [_fleet_row(document["host"], port) for port in ports]
        if not ports:
            problems.append(f"{document['host']}: there is no NIC to be judged on this host")
    table = [line.rstrip() for line in columns([_FLEET, *rows], right=_right(_FLEET))] if rows else []
    return (*table, *([""] if table and problems else []), *problems)


def _fleet_row(host: str, port: Mapping[str, Any]) -> tuple[str, ...]:
    start = (host, port["port"], _millions(port["expected_pps"]))
    at = next((i for i, found in enumerate(port["candidates"]) if found["method"] == port["chosen"]), None)
    if at is None:
        return (*start, "not for capture" if port["refusals"] else "none", "-", "-")
    chosen, better = port["candidates"][at], port["candidates"][:at]
    told = [
        f"{_mode_of(found)} {_millions(found['pps'])}, "
        + ("at hand" if found["needs"] in {"nothing", "deployment"} else _NEEDS[found["needs"]])
        for found in better
    ]
    return (*start, _mode_of(chosen), _millions(chosen["pps"]), told[0] if told else "-")


def _mode_of(candidate: Mapping[str, Any]) -> str:
    return f"{candidate['method']} {candidate['mode']}".strip()


def _called(candidate: Candidate) -> str:
    return f"{candidate.method} {candidate.mode}".strip()


def _right(head: Sequence[str]) -> frozenset[int]:
    return frozenset(index for index, word in enumerate(head) if word in _NUMBERS)


def _millions(pps: int) -> str:
    """Three digits: 148809523 -> "149", 732601 -> "0.733"."""
    return f"{pps / 1e6:.3g}"


def _gigabits(speed: int) -> str:
    return f"{speed / 1000:g}"


def _folded(text: str, indent: str = "") -> list[str]:
    hang = indent + "  "
    return wrap(text, WIDTH, initial_indent=indent, subsequent_indent=hang, break_on_hyphens=False)
