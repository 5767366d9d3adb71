"""docs/performance.md, made of what a run left."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.cases import TITLES
from benchmarks.errors import BenchmarkError
from benchmarks.goals import judge
from benchmarks.place import ROOT
from benchmarks.records import Measurement, Run
from benchmarks.table import COLUMNS, cases, cells, remarks, used

RESULTS = ROOT / "docs" / "performance.json"
PAGE, PICTURE = RESULTS.with_suffix(".md"), RESULTS.with_suffix(".svg")
_TEXT = Path(__file__).with_name("performance.md.in")
_MACHINE = {
    "cpu": "CPU",
    "cores": "cores",
    "memory": "memory",
    "free_memory": "free memory",
    "system": "system",
    "kernel": "kernel",
    "compiler": "compiler",
    "load": "load when it began",
}


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    rule = ["---" if at < left else "---:" for at in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def _case(case: str, records: list[Measurement]) -> Iterator[str]:
    yield f"### {case}\n"
    yield f"{TITLES.get(case, case)[0].upper()}{TITLES.get(case, case)[1:]}.\n"
    columns = used(records)
    yield _rows([COLUMNS[at] for at in columns], [[cells(record)[at] for at in columns] for record in records])
    said = [f"- {', '.join(tools)}: {sentence}" for sentence, tools in remarks(records).items()]
    yield "\n" + "\n".join(said) + "\n" if said else ""


def make(run: Run) -> str:
    """The page."""
    machine = [[word, run.machine[key]] for key, word in _MACHINE.items() if key in run.machine]
    machine += [["revision", run.revision], ["began", run.started], ["took", f"{run.seconds / 60:.0f} min"]]
    goals = [[verdict.words, verdict.wanted, verdict.found, verdict.state] for verdict in judge(run)]
    results = (line for case, records in cases(run.measurements).items() for line in _case(case, records))
    return _TEXT.read_text().format(
        machine=_rows(["", "this run"], machine, left=2),
        peers=_rows(
            ["peer", "Debian's version"], [[tool, version or "-"] for tool, version in run.versions.items()], 2
        ),
        goals=_rows(["goal", "wanted", "found", ""], goals, left=4),
        results="\n".join(results).rstrip(),
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks/report", description="Make docs/performance.md of a run.")
    parser.add_argument("results", nargs="?", type=Path, metavar="FILE", help="from benchmarks/run --json")
    parser.add_argument("--check", action="store_true", help="fail when the page is not what would be made")
    arguments = parser.parse_args(words)
    try:
        _work(arguments.results, check=arguments.check)
    except BenchmarkError as error:
        print(f"benchmarks/report: {error}", file=sys.stderr)  # noqa: T201 - the sentence is for a person
        return 1
    return 0


def _work(results: Path | None, *, check: bool) -> None:
    run = Run.read(results or RESULTS)
    if run.quick:
        raise BenchmarkError("A quick run measures nothing: run benchmarks/run without --quick.")
    if check:
        if PAGE.read_text() != make(run):
            raise BenchmarkError("docs/performance.md is not what benchmarks/report makes of it: run that.")
        return
    if results and not (RESULTS.exists() and RESULTS.samefile(results)):
        shutil.copyfile(results, RESULTS)
    PAGE.write_text(make(run))
    # Takes a second to load.
    from benchmarks import plot  # noqa: PLC0415

    plot.draw(run, PICTURE)


if __name__ == "__main__":
    raise SystemExit(main())
