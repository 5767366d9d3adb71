"""Which packages a host lacks, as pure functions over names and versions, and the record of those that it got."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host.record import durable_remove, durable_write

QUERY = ["dpkg-query", "--show", "--showformat", r"${db:Status-Abbrev}\t${Package}\t${Version}\n"]
"""Command whose output `installed` reads."""

Files = Mapping[str, Mapping[str, str]]
"""Of each file: the `package` and the `version` in it."""


def installed(listing: str) -> dict[str, str]:
    """Read what dpkg-query shows, a line of status, package and version each: name to version of those installed."""
    rows = (line.split("\t") for line in listing.splitlines())
    return {name: version for status, name, version in rows if status.strip().endswith("i")}


def missing(there: Mapping[str, str], packages: Files, dependencies: Files) -> list[str]:
    """The files to install.

    Args:
        there: installed packages with their versions.
        packages: ours, wanted in exactly the version at hand.
        dependencies: the distribution's, wanted where there is none; one that is there, whatever its version, belongs
            to the host and stays.

    """
    ours = [name for name, file in packages.items() if there.get(file["package"]) != file["version"]]
    # Ours pull the others in: where ours are in place, so is everything.
    theirs = [name for name, file in dependencies.items() if file["package"] not in there] if ours else []
    return sorted(ours + theirs)


def to_remember(there: Mapping[str, str], files: Iterable[str], packages: Files, dependencies: Files) -> list[str]:
    """Names of the packages that were not on the host, which a rollback removes again."""
    described = {**dependencies, **packages}
    return sorted({described[file]["package"] for file in files}.difference(there))


def remembered(record: str) -> list[str]:
    """Names in the record, oldest first; none without one."""
    path = Path(record)
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def remember(record: str, names: Iterable[str]) -> None:
    """Add names to the record before anything is installed, so that whatever ends the run, they are remembered.

    Raises:
        HostError: it can't be written; nothing may be installed then.

    """
    known = remembered(record)
    new = [name for name in names if name not in known]
    if new:
        durable_write(record, "".join(f"{name}\n" for name in [*known, *new]))


def forget(record: str) -> None:
    """Remove the record.

    Raises:
        HostError: it can't be removed.

    """
    durable_remove(record)
