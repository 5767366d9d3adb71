"""What a host has for each capture method besides its NICs: engine, packages, vendors' parts, records of before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from capstan.errors import OperatorError
from capstan.means_read import read_means
from capstan.paths import Paths

IN_THE_ENGINE: Final = frozenset({"pcap", "af_packet", "af_xdp", "replay"})
"""Methods that need no package of their own."""


def package_of(method: str) -> str:
    """The package that brings a method which is not in the engine itself."""
    return f"capstan-engine-{method.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Choice:
    """What `auto` came to for one port, and what it was chosen for."""

    method: str
    nature: str
    """What the port is: the NIC's PCI vendor and device, or the kind of a virtual interface."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The settings that bear on the choice."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What `capstan advise --measure` found on this host, in packets of 64 bytes a second."""

    host: str
    kernel: str
    engine: str
    date: str
    """UTC, to the second."""
    processor: str
    pipeline: int
    """Of one core: packets from memory through the engine, given to nobody."""
    output: int
    """Through the engine's one writer into `directory`; 0 where that was not measured."""
    output_bytes: int
    """The same in bytes of the files a second."""
    directory: str
    """The directory that was written to: of the output, or the nearest above it that existed."""
    missing: str = ""
    """The output directory, where that did not exist and the one above was written to in its place."""
    lab: Mapping[str, int] = field(default_factory=dict)
    """Of one core, by method and mode such as "af_xdp copy": live through a veth."""

    @property
    def place(self) -> str:
        """The directory that was written to, in words."""
        return f"{self.directory} ({self.missing} did not exist yet)" if self.missing else self.directory

    def of_another_time(self, kernel: str, engine: str | None) -> str | None:
        """Why the figures do not count any more; None while they do."""
        if self.kernel != kernel:
            return f"was measured on {self.date} under kernel {self.kernel}, and {kernel} runs"
        if engine not in {None, self.engine}:
            return f"was measured on {self.date} with the engine {self.engine}, and {engine} is installed"
        return None

    def to_json(self) -> dict[str, Any]:
        """As the record holds it."""
        return {"version": 1, **asdict(self)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Measured:
        """What to_json made of one."""
        return cls(**{key: value for key, value in raw.items() if key != "version"})


@dataclass(frozen=True, slots=True)
class Means:
    """What can be used on a host, and what is known of it from before."""

    prepares: bool = True
    """The deployment is at work, which binds NICs, reserves pages and installs packages; else the host is as it is."""
    distribution: str = ""
    """Such as debian-12."""
    installed: frozenset[str] = IN_THE_ENGINE
    """Methods that the engine of this host loads."""
    packages: frozenset[str] | None = None
    """Methods whose packages the controller has for this host; None: nobody has looked."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """By method, why the kernel refuses its sockets."""
    pf_ring_module: str | None = None
    """Version of PF_RING's loaded kernel module."""
    licences: frozenset[str] = frozenset()
    """MAC addresses of NICs that have a licence of PF_RING ZC."""
    engine: str | None = None
    """Version of the engine that is installed."""
    choices: Mapping[str, Choice] = field(default_factory=dict)
    """What `auto` came to before, by the port's identity in the settings."""
    measured: Measured | None = None
    again: bool = False
    """Choose anew, whatever was chosen before."""

    def figures(self, kernel: str) -> Measured | None:
        """What was measured on this host, as long as kernel and engine are those of then."""
        return self.measured if self.measured and not self.measured.of_another_time(kernel, self.engine) else None

    @classmethod
    def from_json(
        cls,
        raw: Mapping[str, Any],
        *,
        prepares: bool = True,
        packages: Iterable[str] | None = None,
        again: bool = False,
    ) -> Means:
        """What `means_read` found.

        Args:
            raw: as it was read on the host.
            prepares: the deployment is at work.
            packages: methods whose packages the controller has for this host.
            again: choose anew.

        """
        engine, choices, measured = raw["engine"], raw["choices"], raw["measured"]
        loaded = {method for method, why_not in engine["methods"].items() if why_not is None} if engine else set()
        return cls(
            prepares=prepares,
            distribution=raw["distribution"],
            installed=frozenset(loaded) | IN_THE_ENGINE,
            packages=None if packages is None else frozenset(packages),
            refused=raw["refused"],
            pf_ring_module=raw["pf_ring"]["module"],
            licences=frozenset(raw["pf_ring"]["licences"]),
            engine=engine["version"] if engine else None,
            choices={port: Choice(**_choice(found)) for port, found in (choices or {"ports": {}})["ports"].items()},
            measured=Measured.from_json(measured) if measured else None,
            again=again,
        )


def _choice(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: raw[key] for key in ("method", "nature", "settings")}


def local_means(paths: Paths, *, prepares: bool) -> Means:
    """What this host has.

    Raises:
        OperatorError: a record is damaged.

    """
    try:
        return Means.from_json(read_means(paths.engine, paths.advice), prepares=prepares)
    except ValueError as error:
        raise OperatorError(f"{error}.") from None
