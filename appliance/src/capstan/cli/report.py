"""`capstan report`: numbered traffic, from the sender to the files, on one screen."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from capstan import report as numbered
from capstan import status
from capstan.paths import Paths
from capstan.quantities import format_count, format_size

_FILE = click.Path(path_type=Path)
_FILES_SHOWN = 8
_WIDTH_WITHOUT_TERMINAL = 100


@click.command()
@click.option("--sent", required=True, type=_FILE, help="Output of `capstan-gen send --json`.")
@click.option("--check", type=_FILE, help="Output of `capstan-gen check --json` on the files.")
@click.option("--before", type=_FILE, help="Output of `capstan status --json` before the traffic.")
@click.option("--after", type=_FILE, help="The same after the traffic (default: the state of now).")
@click.option("--seconds", type=float, default=0.0, help="How long the whole job took.")
@click.option("--report", "target", type=_FILE, help="Write the report as JSON, too.")
@click.option("--remove", default="./quickstart --remove", show_default=True, help="The command that removes it all.")
@click.pass_obj
def report(  # noqa: PLR0913, PLR0917 - one parameter an option
    paths: Paths,
    sent: Path,
    check: Path | None,
    before: Path | None,
    after: Path | None,
    seconds: float,
    target: Path | None,
    remove: str,
) -> None:
    """Report on numbered traffic: sent, delivered, dropped by cause, unaccounted, and found in the files."""
    found = numbered.Report.build(
        sent=numbered.read_document(sent),
        before=numbered.read_document(before) if before else None,
        after=numbered.read_document(after) if after else status.read(paths),
        found=numbered.read_document(check) if check else None,
        seconds=seconds,
    )
    if target is not None:
        target.write_text(found.to_json() + "\n")
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)
    style = "green" if found.closes and found.confirmed is not False else "red"
    console.print(
        Panel(_body(found), title=f"[bold]Capstan on {escape(found.host)}", border_style=style, padding=(1, 2))
    )
    console.print(numbered.next_steps(found, remove), soft_wrap=True)


def _body(found: numbered.Report) -> RenderableType:
    table = Table.grid(padding=(0, 3))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("method", Text(found.method, style="bold"), found.effective_mode or "")
    for sentence in found.degraded:
        table.add_row("", "", Text(sentence, style="yellow"))
    if found.targets is not None:
        told = f"targets in force, {format_count(found.targets['active'])} active"
        table.add_row("targets", format_count(found.targets["count"]), told)
    table.add_row("rate", format_count(found.rate), "packets per second")
    table.add_section()
    table.add_row("sent", format_count(found.sent), "taken by the link" + _refused(found))
    table.add_row(
        "delivered", Text(format_count(found.delivered), style="bold green"), format_size(found.delivered_bytes)
    )
    table.add_row("filtered", format_count(found.filtered), "")
    for cause, count in found.dropped.items():
        table.add_row("dropped", Text(format_count(count), style="bold yellow"), cause)
    if not found.dropped:
        table.add_row("dropped", "0", "")
    for name, device in found.devices.items():
        for counter, count in device["lost"].items():
            table.add_row("device", Text(format_count(count), style="yellow"), f"{name}: {counter}")
    known = "green" if found.unaccounted == 0 else "bold red"
    table.add_row("unaccounted", Text(format_count(found.unaccounted), style=known), "")
    lines: list[RenderableType] = [table, Text(), _verdict(found), *_reader(found), Text()]
    many = "1 file" if len(found.files) == 1 else f"{len(found.files)} files"
    where = f" in {Path(found.files[0]).parent}" if found.files else ""
    lines.append(Text(f"{many}{where}, {found.seconds:.0f} s in all", style="dim"))
    lines += [Text(Path(path).name, overflow="fold") for path in found.files[-_FILES_SHOWN:]]
    return Group(*lines)


def _refused(found: numbered.Report) -> str:
    return f"; it refused {format_count(found.refused)} more" if found.refused else ""


def _verdict(found: numbered.Report) -> Text:
    if found.closes:
        lost = f", {format_count(found.lost)} dropped with a cause" if found.lost else ", none lost"
        return Text(f"✔ Each of the {format_count(found.sent)} packets is accounted for{lost}.", style="bold green")
    if found.wire != found.sent:
        return Text(
            f"✘ {format_count(found.sent)} packets were sent and {format_count(found.wire)} reached the port.",
            style="bold red",
        )
    return Text("✘ The balance does not close.", style="bold red")


def _reader(found: numbered.Report) -> list[Text]:
    if found.confirmed is None:
        return []
    read = found.found
    told = f"{format_count(read['distinct'])} different packets"
    flaws = [f"{format_count(read[key])} {key}" for key in ("doubled", "damaged", "out_of_order") if read.get(key)]
    told += f" ({', '.join(flaws)})" if flaws else ", none doubled or damaged"
    if found.confirmed:
        return [Text(f"✔ Read back from the files, independently: {told}.", style="bold green")]
    return [Text(f"✘ Read back from the files, independently: {told}.", style="bold red")]
