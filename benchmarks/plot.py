"""The results as a picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.records import MEASURED, Measurement, Run
from benchmarks.table import cases

_OWN, _PEER = "#1f6f8b", "#b9b9b9"
_ROW_INCHES = 0.26
_WIDTH_INCHES = 9.0
_RATES = ("live-lossless", "live-half-percent")


def draw(run: Run, path: Path) -> None:
    """A panel a case, a bar a measurement; the same records make the same file."""
    panels = {case: [(r, v) for r in records if (v := _value(r))] for case, records in cases(run.measurements).items()}
    panels = {case: bars for case, bars in panels.items() if bars}
    heights = [len(bars) + 2 for bars in panels.values()] or [1]
    with mpl.rc_context({"svg.hashsalt": "capstan", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(_WIDTH_INCHES, sum(heights) * _ROW_INCHES), layout="constrained")
        axes = figure.subplots(max(len(panels), 1), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (case, bars) in zip(axes, panels.items(), strict=False):
            values = [value for _, value in bars]
            colours = [_OWN if record.tool.startswith("capstan") else _PEER for record, _ in bars]
            axis.barh([_label(record) for record, _ in bars], values, color=colours, height=0.7)
            axis.bar_label(axis.containers[0], fmt="%.4g", padding=2)
            axis.set_title(f"{case} ({_unit(case)})", loc="left", fontweight="bold")
            axis.invert_yaxis()
            axis.margins(x=0.12)
            axis.spines[["top", "right"]].set_visible(False)
            if max(values) > 50 * min(values):
                axis.set_xscale("log")
        figure.savefig(path, format="svg", metadata={"Date": None})


def _value(record: Measurement) -> float | None:
    if record.state != MEASURED or record.tool == "fio":
        return None
    if record.case in _RATES:
        return (record.packets_per_second or 0) / 1e6
    if record.instructions_per_packet is not None:
        return record.instructions_per_packet
    return (record.cpu_ns_per_packet or 0) + (record.softirq_ns_per_packet or 0)


def _unit(case: str) -> str:
    if case in _RATES:
        return "million packets a second: more is better"
    if case == "instructions":
        return "instructions a packet: less is better"
    return "ns of CPU time a packet, softirq included: less is better"


def _label(record: Measurement) -> str:
    told = "" if record.targets is None else f", {record.targets} targets"
    return f"{record.tool}, {record.packet_size}{told}"
