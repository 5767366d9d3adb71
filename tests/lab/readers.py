"""Other people's readers of capture files, which must take ours without a word of complaint."""

from __future__ import annotations

from pathlib import Path

import programs

_TCPDUMP_SAYS = "reading from file"


def tcpdump(path: Path, *words: str) -> list[str]:
    """Lines that tcpdump prints of a file, names unresolved."""
    done = programs.run("tcpdump", "-n", "-r", path, *words)
    complaints = [line for line in done.stderr.splitlines() if not line.startswith(_TCPDUMP_SAYS)]
    assert not complaints, complaints
    return done.stdout.splitlines()


def packets(path: Path, expression: str = "") -> list[str]:
    """Every packet that a filter selects, as one line of its bytes in hexadecimal, in order."""
    selected: list[str] = []
    for line in tcpdump(path, "-t", "-xx", *([expression] if expression else [])):
        if line.startswith("\t0x"):
            selected[-1] += line.split(":", 1)[1].replace(" ", "")
        else:
            selected.append("")
    return selected


def tshark(path: Path, *fields: str) -> list[list[str]]:
    """The fields of every packet, as tshark dissects it."""
    asked = [word for name in fields for word in ("-e", name)]
    # Left to itself, tshark guesses protocols into the filler of the generator's datagrams.
    done = programs.run("tshark", "-n", "-d", "udp.port==9,data", "-r", path, "-T", "fields", *asked)
    complaints = [line for line in done.stderr.splitlines() if "Running as user" not in line]
    assert not complaints, complaints
    return [line.split("\t") for line in done.stdout.splitlines()]


def capinfos(path: Path) -> dict[str, str]:
    """What capinfos says of a file: label to value, those of its interface as well."""
    done = programs.run("capinfos", "-M", path)
    assert not done.stderr, done.stderr
    pairs = (line.replace(" = ", ":", 1).split(":", 1) for line in done.stdout.splitlines() if line.strip())
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}
