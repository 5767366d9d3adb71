"""GRUB's files as update-grub makes them: menu entries and default of grub.cfg, the environment block, settings.

grub-mkconfig (2.06 of Debian 12, 2.12 of Debian 13) writes of every kernel an entry with the id
gnulinux-VERSION-advanced-DEVICE, one with -recovery-, within a submenu whose id is gnulinux-advanced-DEVICE, and before
it gnulinux-simple-DEVICE for the newest kernel. 00_header chooses `next_entry` once where it is set, and else the
default.
"""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, below

DEFAULTS = "/etc/default/grub"
DROPINS = "/etc/default/grub.d"

_LINUX = frozenset({"linux", "linux16", "linuxefi"})
_OPENS = re.compile(r"^(menuentry|submenu)\b.*\{$")
_DEFAULT = re.compile(r'^set default="(.*)"$')
_LANGUAGE = re.compile(r"^\s*set lang=(\S+)$", re.MULTILINE)
_ENVIRONMENT = "# GRUB Environment Block"

# Tells the two variables after each file, as grub-mkconfig would have them then. What a file prints is not ours.
_EVALUATE = """
for file in "$@"; do
    if [ "$file" = "$ours" ]; then eval "$text"; else . "$file" >/dev/null 2>&1; fi
    printf '%s\\0%s\\0' "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"
done
"""
_EVALUATE_SECONDS = 60


@dataclass(frozen=True)
class Entry:
    """A menu entry that boots Linux: its way through the menus (indexes from 0), titles, id and kernel arguments."""

    way: tuple[int, ...]
    names: tuple[frozenset[str], ...]  # of each menu on the way: title and id, by either of which GRUB finds it
    title: str
    id: str
    line: tuple[str, ...]

    @property
    def generated(self) -> bool:
        """Whether update-grub makes it of the settings' whole command line, so not for recovery, nor by hand."""
        return self.id.startswith("gnulinux-") and "-recovery-" not in self.id


@dataclass(frozen=True)
class Settings:
    """The command line as it is after one of the settings files."""

    file: str
    linux: str
    default: str

    @property
    def line(self) -> str:
        """In the order of grub.cfg."""
        return f"{self.linux} {self.default}"


def entries(text: str) -> list[Entry]:
    """The entries of a grub.cfg that boot Linux, in the menu's order; others only count."""
    found: list[Entry] = []
    # Each open block: kind ("menuentry", "submenu", or "" for a function), index in its menu, title, id, children.
    stack: list[_Block] = []
    top = 0
    for raw in text.splitlines():
        line = raw.strip()
        if _OPENS.match(line):
            words = _words(line)
            parent = next((block for block in reversed(stack) if block.kind == "submenu"), None)
            index = parent.children if parent else top
            if parent:
                parent.children += 1
            else:
                top += 1
            stack.append(_Block(words[0], index, words[1], _identity(words)))
        elif re.match(r"^function \S+ \{$", line):
            stack.append(_Block("", 0, "", ""))
        elif line == "}" and stack:
            stack.pop()
        elif stack and stack[-1].kind == "menuentry" and line.split(None, 1)[:1] and line.split()[0] in _LINUX:
            way = [block for block in stack if block.kind]
            found.append(
                Entry(
                    tuple(block.index for block in way),
                    tuple(frozenset({block.title, block.id} - {""}) for block in way),
                    stack[-1].title,
                    stack[-1].id,
                    tuple(_words(line)[2:]),
                )
            )
    return found


@dataclass
class _Block:
    kind: str
    index: int
    title: str
    id: str
    children: int = 0


def _words(line: str) -> list[str]:
    """The words of a line of GRUB's language, whose quotes are the shell's."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _identity(words: Sequence[str]) -> str:
    for before, word in itertools.pairwise(words):
        if before in {"--id", "$menuentry_id_option"}:
            return word
    return ""


def default_entry(text: str, environment: Mapping[str, str]) -> Entry | None:
    """The Linux entry that GRUB boots when nobody chooses; None when that is no Linux entry.

    Args:
        text: grub.cfg.
        environment: of the environment block, for GRUB_DEFAULT=saved.

    """
    values = [match[1] for line in text.splitlines() if (match := _DEFAULT.match(line.strip()))]
    chosen = next((value for value in reversed(values) if value != "${next_entry}"), "0")
    if chosen == "${saved_entry}":
        chosen = environment.get("prev_saved_entry") or environment.get("saved_entry", "")
    steps = [step.replace("\0", ">") for step in chosen.replace(">>", "\0").split(">")]
    there = entries(text)
    for entry in there:
        if len(steps) == len(entry.way) and all(
            _step(step, index, names) for step, index, names in zip(steps, entry.way, entry.names, strict=True)
        ):
            return entry
    # GRUB falls back on the first of the menu when the default names nothing.
    named = any(step.isdecimal() for step in steps[:1])
    return None if named else next((entry for entry in there if entry.way == (0,)), None)


def _step(step: str, index: int, names: frozenset[str]) -> bool:
    return int(step) == index if step.isdecimal() else step in names


def environment(text: str | None) -> dict[str, str]:
    """Variables of an environment block; none where there is no block.

    Raises:
        HostError: it is not one.

    """
    if text is None:
        return {}
    if not text.startswith(_ENVIRONMENT):
        raise HostError(
            "/boot/grub/grubenv is no environment block of GRUB's; "
            "make a new one: grub-editenv /boot/grub/grubenv create"
        )
    lines = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, separator, value in lines if separator}


def language(text: str) -> str:
    """Value of LANG in which grub.cfg was made, so that its menu stays in that language."""
    found = _LANGUAGE.findall(text)
    return f"{found[-1]}.UTF-8" if found else "C"


def settings_files(root: Path) -> list[str]:
    """The files that grub-mkconfig reads, in its order."""
    dropins = sorted(path.name for path in below(root, DROPINS).glob("*.cfg"))
    files = [DEFAULTS] if below(root, DEFAULTS).is_file() else []
    return files + [f"{DROPINS}/{name}" for name in dropins]


def evaluate(root: Path, files: Sequence[str], ours: str, text: str) -> list[Settings]:
    """Read settings files as grub-mkconfig does, by a shell, and tell the command line after each.

    Args:
        root: put before the paths.
        files: in their order.
        ours: path among them whose content is `text` instead of what is on disk.
        text: content to be tried.

    Raises:
        HostError: a file can't be read by a shell, so update-grub would fail, too.

    """
    paths = [str(below(root, file)) for file in files]
    done = subprocess.run(
        ["/bin/sh", "-c", _EVALUATE, "sh", *paths],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "ours": str(below(root, ours)), "text": text},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_EVALUATE_SECONDS,
        check=False,
    )
    values = done.stdout.split("\0")[:-1]
    if len(values) < 2 * len(files):
        raise HostError(
            f"{files[len(values) // 2]} can't be read by a shell, so that update-grub would fail; "
            f"mend the file ({' '.join(done.stderr.split()) or f'exit code {done.returncode}'})"
        )
    return [Settings(file, *values[2 * number : 2 * number + 2]) for number, file in enumerate(files)]


def line_of(root: Path, file: str, word: str) -> int:
    """Number of the last line of a file, from 1, that has the word on its own; 0 where it comes about elsehow."""
    own = re.compile(rf"(?<![^\s\"'=]){re.escape(word)}(?![^\s\"'])")
    lines = below(root, file).read_text(encoding="utf-8", errors="replace").splitlines()
    hits = [number for number, line in enumerate(lines, 1) if own.search(line) and not line.lstrip().startswith("#")]
    return hits[-1] if hits else 0
