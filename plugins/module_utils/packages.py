"""Which of the packages that came along a host lacks: pure functions over names and versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
