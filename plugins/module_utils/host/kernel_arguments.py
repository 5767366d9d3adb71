"""Kernel command lines as the kernel reads them: whole arguments, never parts of a text. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError

# May stand on a line several times, each with its own effect (kernel-parameters.txt, kernel-command-line(7)); of every
# other argument the kernel takes the last.
REPEATABLE = frozenset(
    {
        "console",
        "crashkernel",
        "earlycon",
        "hugepagesz",
        "memmap",
        "modprobe.blacklist",
        "netconsole",
        "pci",
        "systemd.mask",
        "systemd.setenv",
        "systemd.wants",
        "video",
    }
)

# Survives shell, GRUB and kernel as it is.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(=[^\s\"'$`\\]*)?")


@dataclass(frozen=True)
class Argument:
    """An argument with its value.

    `key` is what a second one would have in common with it; `text` is how it stands on the line. A number of hugepages
    belongs to the size before it, so both are one argument.
    """

    key: str
    text: str


@dataclass(frozen=True)
class Wanted:
    """An argument that the host must have, why, and whether nothing works without it."""

    argument: Argument
    reason: str
    essential: bool


def split(line: str) -> list[str]:
    """The words of a command line: blanks part them, but within double quotes, which the kernel takes away."""
    words = re.findall(r'(?:"[^"]*"?|[^\s"])+', line)
    return [word.replace('"', "") for word in words]


def read(words: Iterable[str]) -> list[Argument]:
    """The arguments that these words are."""
    found: list[Argument] = []
    size: str | None = None
    for word in words:
        name = word.partition("=")[0].replace("-", "_")
        if name == "hugepages" and size is not None:
            found.append(Argument(f"hugepages of {size}", f"{size} {word}"))
            size = None
            continue
        if size is not None:
            found.append(Argument(size, size))
            size = None
        if name == "hugepagesz":
            size = word
        else:
            found.append(Argument(word if name in REPEATABLE else name, word))
    if size is not None:
        found.append(Argument(size, size))
    return found


def effective(line: Iterable[Argument]) -> dict[str, str]:
    """Which text of each key the kernel goes by: the last."""
    return {argument.key: argument.text for argument in line}


def lacking(wanted: Iterable[Argument], line: Iterable[Argument]) -> list[Argument]:
    """Those that are not in effect on the line."""
    there = effective(line)
    return [argument for argument in wanted if there.get(argument.key) != argument.text]


def shown(arguments: Iterable[Argument]) -> str:
    """The arguments as they stand on a line."""
    return " ".join(argument.text for argument in arguments)


def read_wanted(entries: Sequence[Mapping[str, Any]]) -> list[Wanted]:
    """The arguments of the plan, in its order, each once.

    Raises:
        HostError: one can't stand on a command line, or two contradict each other.

    """
    words: list[str] = []
    source: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        for word in entry["argument"].split():
            if not _PLAIN.fullmatch(word):
                raise HostError(
                    f"capture_kernel.arguments: {word!r} can't be passed to a kernel; "
                    "write NAME or NAME=VALUE without blanks, quotes, $, ` and \\"
                )
            words.append(word)
            source.setdefault(word, entry)
    found: dict[str, Wanted] = {}
    for argument in read(words):
        entries_of = [source[word] for word in argument.text.split()]
        wanted = Wanted(
            argument,
            str(entries_of[-1]["reason"]),
            any(bool(entry["essential"]) for entry in entries_of),
        )
        if argument.key == "hugepages":
            raise HostError(
                f"capture_kernel.arguments: {argument.text} says no size of page; "
                "write the size before it, such as [hugepagesz=2M, hugepages=512], or use capture_hugepages"
            )
        other = found.setdefault(argument.key, wanted)
        if other.argument != argument:
            raise HostError(
                f"{other.argument.text} ({other.reason}) and {argument.text} ({wanted.reason}) contradict each other; "
                "remove one of the two from the inventory"
            )
    return list(found.values())
