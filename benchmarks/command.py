"""benchmarks/run: what is measured, the progress, and where the results go."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks import guest, machine, peers, table
from benchmarks.cases import TITLES, Session
from benchmarks.errors import BenchmarkError
from benchmarks.options import Options
from benchmarks.place import ROOT, alone, workplace
from benchmarks.records import Measurement, Run
from capstan.errors import OperatorError

_FILE_WIDTH = 140
_EXIT_FAILED, _EXIT_INTERRUPTED = 1, 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks/run", description="What Capstan costs a packet, beside its peers on this machine."
    )
    add = parser.add_argument
    add("--case", action="append", metavar="NAME", help="one case, or all that begin so (live); may be given again")
    add("--tool", action="append", metavar="NAME", help="one tool, or all that begin so (capstan); may be given again")
    add("--list", action="store_true", help="the cases and the peers")
    add("--quick", action="store_true", help="tiny counts: proves that everything works, and measures nothing")
    add("--json", type=Path, metavar="FILE", help="the records")
    add("--plot", type=Path, metavar="FILE", help="a picture of them (SVG)")
    add("--repeats", type=int, metavar="N", help="of each measurement (5)")
    add("--seconds", type=float, metavar="S", help="of traffic in a live trial (1.5)")
    add(
        "--packets",
        type=int,
        metavar="N",
        help="in the file of the file cases (5000000), and a twentieth of those from memory",
    )
    add("--peers", type=Path, action="append", default=[], metavar="FILE", help="more peers, as in peers.toml")
    add("--disk", type=Path, metavar="FOLDER", help="on the disk to measure (that of the checkout)")
    add("--build", type=Path, default=ROOT / "build" / "benchmark", metavar="FOLDER", help=argparse.SUPPRESS)
    return parser


def _chosen(asked: Sequence[str] | None) -> list[str]:
    if not asked:
        return list(TITLES)
    for word in asked:
        if not any(case.startswith(word) for case in TITLES):
            raise BenchmarkError(f"There is no case {word}; choose from {', '.join(TITLES)}.")
    return [case for case in TITLES if any(case.startswith(word) for word in asked)]


def _options(arguments: argparse.Namespace) -> Options:
    options = Options.quickest() if arguments.quick else Options()
    given = {"repeats": arguments.repeats, "seconds": arguments.seconds, "file_packets": arguments.packets}
    for name, value in given.items():
        if value is not None and value <= 0:
            raise BenchmarkError(f"--{name.removeprefix('file_')} {value}: write a number above 0.")
    return replace(options, **{name: value for name, value in given.items() if value is not None})


def _measure(arguments: argparse.Namespace, console: Console) -> Run:
    """Measure, show and keep the records; what was finished is shown and kept after an interrupt, too."""
    options, chosen = _options(arguments), _chosen(arguments.case)
    rivals = peers.read([peers.OWN, *arguments.peers])
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    described = machine.describe()
    records: list[Measurement] = []
    interrupted = False
    with (
        nullcontext() if options.quick else alone(),
        workplace(arguments.build.resolve(), arguments.disk) as place,
        console.status("") as status,
        ExitStack() as stack,
    ):

        def tell(line: str) -> None:
            status.update(line)
            if not console.is_terminal:
                console.print(line)

        try:
            if not options.quick:
                described["free_memory"] = stack.enter_context(guest.memory_kept(tell)) or "its own"
            # One by one, so that an interrupt keeps those that are finished.
            for record in Session(place, options, rivals, tell, tuple(arguments.tool or ())).measure(chosen):
                records.append(record)  # noqa: PERF402
        except KeyboardInterrupt:
            interrupted = True
    run = Run(
        machine=described,
        revision=machine.revision(),
        started=started,
        seconds=round(time.monotonic() - began, 1),
        quick=options.quick,
        versions={peer.tool: peer.version or "" for peer in rivals},
        measurements=tuple(record for record in records if record.case in chosen),
    )
    table.show(run, TITLES, console)
    table.show_verdicts(run, console)
    if arguments.json:
        run.write(arguments.json)
    if interrupted:
        raise KeyboardInterrupt
    for word in arguments.tool or ():
        if not any(record.tool.startswith(word) for record in run.measurements):
            raise BenchmarkError(f"There is no tool {word} in {', '.join(chosen)}; --list names the peers.")
    return run


def _list(arguments: argparse.Namespace, console: Console) -> None:
    for case, title in TITLES.items():
        console.print(f"{case:20} {title}", highlight=False)
    console.print()
    for peer in peers.read([peers.OWN, *arguments.peers]):
        there = f"{peer.package} {peer.version}" if peer.installed else "not installed"
        console.print(f"{peer.tool:20} {there}", highlight=False)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = _parser().parse_args(words)
    console = Console() if sys.stdout.isatty() else Console(width=_FILE_WIDTH)
    # As an interrupt, so that namespaces and mounts go however it is ended; a shell starts what runs in the background
    # with interrupts ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if arguments.list:
            _list(arguments, console)
            return 0
        run = _measure(arguments, console)
        if arguments.plot:
            # Takes a second to load.
            from benchmarks import plot  # noqa: PLC0415

            plot.draw(run, arguments.plot)
    except (BenchmarkError, OperatorError) as error:
        print(f"benchmarks/run: {error}", file=sys.stderr)  # noqa: T201 - the sentence is for a person
        return _EXIT_FAILED
    except KeyboardInterrupt:
        print("benchmarks/run: interrupted; nothing is left behind", file=sys.stderr)  # noqa: T201
        return _EXIT_INTERRUPTED
    return 0
