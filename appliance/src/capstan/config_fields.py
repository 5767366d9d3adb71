"""The kinds of value that the settings hold, each with its own reader that says what to write instead."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from capstan import config_problems as problems
from capstan.quantities import MIB, SIZE_PATTERN, parse_size

BUILT_METHODS: Final = ("pcap", "af_packet", "af_xdp", "replay")
PLANNED_METHODS: Final = ("dpdk", "pf_ring", "dag", "auto")

# A pcap record longer than this is taken for damage by libpcap and its readers (MAXIMUM_SNAPLEN).
MAX_SNAPLEN: Final = 262_144
# More receive queues than any NIC of today offers, fewer than would exhaust file descriptors.
MAX_QUEUES: Final = 64
INTERFACE_NAME_MAX: Final = 15  # IFNAMSIZ less its terminating zero


def _method(value: object) -> object:
    if value in PLANNED_METHODS:
        raise ValueError(f"is {value!r}, which is not available in this build; write {problems.one_of(BUILT_METHODS)}")
    if value not in BUILT_METHODS:
        raise ValueError(
            f"is {value!r}, which is not a capture method{problems.did_you_mean(value, BUILT_METHODS)}; "
            f"write {problems.one_of(BUILT_METHODS)}"
        )
    return value


def _queues(value: object) -> object:
    if value == "auto":
        return value
    number = problems.whole_number(value, 'a number of queues or "auto"')
    if not 1 <= number <= MAX_QUEUES:
        raise ValueError(f'is {number}; write 1 to {MAX_QUEUES}, or "auto" for what the NIC and the CPUs allow')
    return number


def _cores(value: object) -> object:
    if value == "auto":
        return value
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f'is {value!r}; write a list of CPU numbers such as [2, 3], or "auto"')
    cores = tuple(problems.whole_number(core, "CPU numbers such as [2, 3]") for core in value)
    if min(cores) < 0:
        raise ValueError(f"holds {min(cores)}; write CPU numbers from 0 up")
    if len(set(cores)) != len(cores):
        raise ValueError(f"is {list(cores)}, which names a CPU twice; write each CPU once")
    return cores


def _interface_name(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f'is {value!r}, which YAML does not read as a text; put it in quotes: name: "{value}"')
    if not value or len(value) > INTERFACE_NAME_MAX or re.search(r"[\s/:]", value) or value in {".", ".."}:
        raise ValueError(
            f"is {value!r}, which cannot be the name of an interface; "
            f"write 1 to {INTERFACE_NAME_MAX} characters without blanks, '/' and ':'"
        )
    return value


def _pci(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(
            f"was read by YAML as the number {value} because it stands without quotes; "
            f'write pci: "{problems.pci_from_base_60(value)}"'
        )
    if not isinstance(value, str):
        raise ValueError(f'is {value!r}; write a PCI address in quotes such as "0000:19:00.1"')
    address = value.strip().lower()
    if re.fullmatch(r"[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", address):
        raise ValueError(f'is {value!r}, which lacks the PCI domain; write "0000:{address}"')
    if not re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", address):
        raise ValueError(f'is {value!r}, which is not a PCI address; write one such as "0000:19:00.1"')
    return address


def _filter(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f'is {value!r}; write a pcap filter in quotes such as "tcp port 80", or null')
    if not value.strip():
        raise ValueError('is empty; write a pcap filter such as "tcp port 80", or null to capture everything')
    if any(ord(character) < ord(" ") for character in value):
        raise ValueError("holds a line break or another control character; write the filter on one line")
    return value.strip()


def _netns(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, str) or not value or "/" in value or value in {".", ".."} or re.search(r"\s", value):
        raise ValueError(f"is {value!r}; write the name of a network namespace as `ip netns` lists it, or null")
    return value


def _account(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", value):
        raise ValueError(f'is {value!r}; write an account name such as "capstan"')
    return value


def _absolute(value: object) -> object:
    if not isinstance(value, str | PurePosixPath) or not str(value):
        raise ValueError(f"is {value!r}; write an absolute path such as /var/lib/capstan/captures")
    path = PurePosixPath(str(value))
    if not path.is_absolute():
        raise ValueError(f"is {str(value)!r}, which is not absolute; write {str('/' / path)!r}")
    if path == PurePosixPath("/") or ".." in path.parts:
        raise ValueError(f"is {str(value)!r}; write an absolute path without '..' such as /var/lib/capstan/captures")
    return path


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        lower = 1 << (value.bit_length() - 1)
        raise ValueError(f"is {value}, which is not a power of two; write {lower} or {lower << 1}")
    return value


def _whole_mebibytes(value: int) -> int:
    if value % MIB:
        raise ValueError(f"is {value} bytes; write whole mebibytes such as {value // MIB + 1}MiB")
    return value


def _interface_list(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError(f"is {value!r}; write a list such as [{{name: eth1}}]")
    if not value:
        raise ValueError("is empty; write at least one interface such as [{name: eth1}]")
    return value


def _interface_entry(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(f"is {value!r}; write {{name: {value}}}")
    return value


def _switch(value: object) -> object:
    # YAML 1.1 reads on and off without quotes as truth values; the meaning is beyond doubt.
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


_SIZE_SCHEMA: Final = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": SIZE_PATTERN}]}
Size = Annotated[int, BeforeValidator(parse_size), WithJsonSchema(_SIZE_SCHEMA)]
Count = Annotated[int, BeforeValidator(problems.plain_number)]
Method = Annotated[Literal["pcap", "af_packet", "af_xdp", "replay"], BeforeValidator(_method)]
Queues = Annotated[
    int | Literal["auto"],
    BeforeValidator(_queues),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MAX_QUEUES}]}),
]
Cores = Annotated[
    tuple[int, ...] | Literal["auto"],
    BeforeValidator(_cores),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "auto"},
                {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True},
            ]
        }
    ),
]
AbsolutePath = Annotated[
    PurePosixPath, BeforeValidator(_absolute), WithJsonSchema({"type": "string", "pattern": "^/[^/]"})
]
Account = Annotated[str, BeforeValidator(_account)]
OnOffAuto = Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)]
InterfaceName = Annotated[str | None, BeforeValidator(_interface_name)]
PciAddress = Annotated[str | None, BeforeValidator(_pci)]
FilterExpression = Annotated[str | None, BeforeValidator(_filter)]
NetnsName = Annotated[str | None, BeforeValidator(_netns)]
InterfaceList = BeforeValidator(_interface_list)
InterfaceEntry = BeforeValidator(_interface_entry)
WholeMebibytes = AfterValidator(_whole_mebibytes)
PowerOfTwo = AfterValidator(_power_of_two)
