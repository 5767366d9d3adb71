#!/usr/bin/env python3
"""Run a command in a terminal of its own and keep what it shows as an SVG picture.

    docs/terminal_picture.py docs/quickstart.svg ./quickstart

Needs the Python package rich, as in .venv. The command's exit status is handed on.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, LINES = 100, 60

# rich's own template loads a font from the network; a picture in a repository should not.
TEMPLATE = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg"
  xml:space="preserve">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px;
  line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


def run(command: list[str]) -> tuple[str, int]:
    """Run @command on a pseudo-terminal; give back what it wrote and its exit status."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execvp(command[0], command)  # noqa: S606 - the caller's own command
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    written = bytearray()
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end is closed: Linux answers EIO
            break
        if not piece:
            break
        written += piece
        sys.stdout.buffer.write(piece)
        sys.stdout.flush()
    _, status = os.waitpid(child, 0)
    return written.decode(), os.waitstatus_to_exitcode(status)


def last_state(line: str) -> str:
    """Keep what stays of a line that was written over: the part behind the last carriage return."""
    return line.rstrip("\r").rsplit("\r", 1)[-1]


def main() -> int:
    """Take the picture."""
    _, *arguments = sys.argv
    if len(arguments) < len(("PICTURE", "COMMAND")):
        sys.stderr.write(__doc__ or "")
        return 2
    picture, command = Path(arguments[0]), arguments[1:]
    shown, status = run(command)
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    for line in shown.split("\n"):
        console.print(Text.from_ansi(last_state(line)), overflow="fold")
    console.save_svg(str(picture), title=" ".join(command), code_format=TEMPLATE)
    return status


if __name__ == "__main__":
    sys.exit(main())
