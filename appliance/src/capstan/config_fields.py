"""The kinds of value that the settings hold, each with its own reader that says what to write instead."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from capstan import config_problems as problems
from capstan.ethtool import PCI_ADDRESS
from capstan.quantities import MIB, SIZE_PATTERN, parse_size
from capstan.virtual_devices import VIRTUAL_DRIVERS, parse

BUILT_METHODS: Final = ("pcap", "af_packet", "af_xdp", "dpdk", "pf_ring", "dag", "replay")
# Which of them it is, the host decides: see capstan.advise.
AUTO_METHOD: Final = "auto"

# A pcap record longer than this is taken for damage by libpcap and its readers (MAXIMUM_SNAPLEN).
MAX_SNAPLEN: Final = 262_144
# More receive queues than any NIC of today offers, fewer than would exhaust file descriptors.
MAX_QUEUES: Final = 64
# As many streams as a DAG card can have; the even ones receive.
MAX_STREAMS: Final = 256
TUNNELS: Final = ("mpls", "gre", "gtp_u", "vxlan")
MAX_PACKETS_A_SECOND: Final = 10_000_000_000  # beyond what any link carries
INTERFACE_NAME_MAX: Final = 15  # IFNAMSIZ less its terminating zero
_DRIVERS: Final = ("vfio-pci", "uio_pci_generic")
_KERNEL_ARGUMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(=[^\s\"'$`\\]*)?")


class Settings(BaseModel):
    """What all parts of the settings share: an unknown key is an error, and nothing changes after validation."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _method(value: object) -> object:
    if value not in (*BUILT_METHODS, AUTO_METHOD):
        raise ValueError(
            f"is {value!r}, which is not a capture method{problems.did_you_mean(value, BUILT_METHODS)}; "
            f"write {problems.one_of((*BUILT_METHODS, AUTO_METHOD))}"
        )
    return value


def _queues(value: object) -> object:
    if value == "auto":
        return value
    number = problems.whole_number(value, 'a number of queues or "auto"')
    if not 1 <= number <= MAX_QUEUES:
        raise ValueError(f'is {number}; write 1 to {MAX_QUEUES}, or "auto" for what the NIC and the CPUs allow')
    return number


def _expected(value: object) -> object:
    if value is None:
        return None
    wanted = "packets a second such as 1500000, or null for the line rate at 64 bytes"
    number = problems.whole_number(value, wanted)
    if not 1 <= number <= MAX_PACKETS_A_SECOND:
        raise ValueError(f"is {number}; write {wanted}")
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


def is_card(name: str | None) -> bool:
    """Whether a name is one that the vendor's driver gives a DAG card."""
    return re.fullmatch(r"dag\d+", name or "") is not None


def _interface_name(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, str) and value.startswith("/dev/") and is_card(value.removeprefix("/dev/")):
        return value.removeprefix("/dev/")
    if not isinstance(value, str):
        raise ValueError(f'is {value!r}, which YAML does not read as a text; put it in quotes: name: "{value}"')
    if not value or len(value) > INTERFACE_NAME_MAX or re.search(r"[\s/:]", value) or value in {".", ".."}:
        raise ValueError(
            f"is {value!r}, which cannot be the name of an interface; "
            f"write 1 to {INTERFACE_NAME_MAX} characters without blanks, '/' and ':'"
        )
    return value


def _vdev(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f'is {value!r}; write name and devargs in quotes, such as "net_af_packet0,iface=eth1"')
    return str(parse(value))


def _streams(value: object) -> object:
    if value is None:
        return None
    wanted = "a list of receive streams such as [0, 2]"
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"is {value!r}; write {wanted}, or null for those that the card has")
    streams = tuple(problems.whole_number(stream, wanted) for stream in value)
    wrong = next((stream for stream in streams if not 0 <= stream < MAX_STREAMS), None)
    if wrong is not None:
        raise ValueError(f"holds {wrong}; write streams from 0 to {MAX_STREAMS - 2}")
    odd = next((stream for stream in streams if stream % 2), None)
    if odd is not None:
        raise ValueError(f"holds {odd}, and odd streams transmit; write even ones, such as {odd - 1}")
    if len(set(streams)) != len(streams):
        raise ValueError(f"is {list(streams)}, which names a stream twice; write each stream once")
    if len(streams) > MAX_QUEUES:
        raise ValueError(f"holds {len(streams)} streams; write {MAX_QUEUES} at most")
    return streams


def _tunnels(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError(f"is {value!r}; write a list of {problems.one_of(TUNNELS)}, such as [gtp_u]")
    for tunnel in value:
        if tunnel not in TUNNELS:
            raise ValueError(
                f"holds {tunnel!r}{problems.did_you_mean(tunnel, TUNNELS)}; write {problems.one_of(TUNNELS)}"
            )
    if len(set(value)) != len(value):
        raise ValueError(f"is {list(value)}, which names a tunnel twice; write each once")
    return tuple(value)


def _targets_file(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, str | PurePosixPath) or not str(value).strip():
        raise ValueError(f"is {value!r}; write the path of a JSON or YAML file with a list of targets, or null")
    return str(value)


def _attribute(value: object) -> object:
    if value is None or (isinstance(value, str) and value.strip() and not value.strip().lstrip("-").isdecimal()):
        return value
    wanted = "the attribute's name, its number in the vendor's header, or null"
    number = problems.whole_number(value, wanted)
    if not 0 <= number < 1 << 31:
        raise ValueError(f"is {number}; write {wanted}")
    return number


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
    if not PCI_ADDRESS.fullmatch(address):
        raise ValueError(f'is {value!r}, which is not a PCI address; write one such as "0000:19:00.1"')
    return address


def _mac(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"was read by YAML as the number {value} because it stands without quotes; put it in quotes")
    if not isinstance(value, str) or not re.fullmatch(r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}", value.strip().lower()):
        raise ValueError(f'is {value!r}; write a MAC address in quotes such as "3c:fd:fe:9e:7f:70"')
    return value.strip().lower().replace("-", ":")


def _kernel_arguments(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError(f"is {value!r}; write a list of arguments such as [processor.max_cstate=1]")
    for argument in value:
        if not isinstance(argument, str) or not _KERNEL_ARGUMENT.fullmatch(argument):
            raise ValueError(
                f"holds {argument!r}; write each argument as NAME or NAME=VALUE without blanks, quotes, $, ` and \\"
            )
    keys = [argument for argument in value if list(value).count(argument) > 1]
    if keys:
        raise ValueError(f"holds {keys[0]} twice; write each argument once")
    return tuple(value)


def _pages_per_node(value: object) -> object:
    if value == "auto":
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError(f'is {value!r}; write pages of each NUMA node such as {{0: 512}}, or "auto"')
    pages = {
        problems.whole_number(node, "NUMA nodes as numbers, such as {0: 512}"): problems.whole_number(
            count, "pages as whole numbers, such as {0: 512}"
        )
        for node, count in value.items()
    }
    if min(pages) < 0 or min(pages.values()) < 0:
        raise ValueError(f"is {value!r}; write nodes and pages from 0 up")
    return pages


def _leave_or_count(value: object) -> object:
    if value in ("auto", "leave"):
        return value
    number = problems.whole_number(value, 'a whole number, "auto" or "leave"')
    if number < 0:
        raise ValueError(f'is {number}; write a number from 0 up, "auto" or "leave"')
    return number


def _leave_or_flags(value: object) -> object:
    if value in ("auto", "leave"):
        return value
    if not isinstance(value, dict) or not all(isinstance(flag, bool) for flag in value.values()):
        raise ValueError(f'is {value!r}; write flags such as {{disable-fw-lldp: true}}, "auto" or "leave"')
    return value


def _driver(value: object) -> object:
    if value in {"igb_uio", "vfio", "uio-pci-generic", "vfio_pci"}:
        raise ValueError(f"is {value!r}, which is not supported; write {problems.one_of(_DRIVERS)}")
    return value


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
ExpectedPackets = Annotated[int | None, BeforeValidator(_expected)]
Method = Annotated[
    Literal["pcap", "af_packet", "af_xdp", "dpdk", "pf_ring", "dag", "replay", "auto"], BeforeValidator(_method)
]
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
VirtualDeviceText = Annotated[
    str | None,
    BeforeValidator(_vdev),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "null"},
                {"type": "string", "pattern": rf"^({'|'.join(VIRTUAL_DRIVERS)})[0-9]{{1,2}}(,|$)"},
            ]
        }
    ),
]
FilterExpression = Annotated[str | None, BeforeValidator(_filter)]
Streams = Annotated[
    tuple[int, ...] | None,
    BeforeValidator(_streams),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "null"},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0, "maximum": MAX_STREAMS - 2, "multipleOf": 2},
                    "minItems": 1,
                    "maxItems": MAX_QUEUES,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]
Tunnels = Annotated[
    tuple[Literal["mpls", "gre", "gtp_u", "vxlan"], ...],
    BeforeValidator(_tunnels),
    WithJsonSchema({"type": "array", "items": {"enum": list(TUNNELS)}, "uniqueItems": True}),
]
TargetsFile = Annotated[str | None, BeforeValidator(_targets_file)]
CardAttribute = Annotated[
    str | int | None,
    BeforeValidator(_attribute),
    WithJsonSchema({"anyOf": [{"type": "null"}, {"type": "string"}, {"type": "integer", "minimum": 0}]}),
]
NetnsName = Annotated[str | None, BeforeValidator(_netns)]
InterfaceList = BeforeValidator(_interface_list)
InterfaceEntry = BeforeValidator(_interface_entry)
WholeMebibytes = AfterValidator(_whole_mebibytes)
PowerOfTwo = AfterValidator(_power_of_two)
MacAddress = Annotated[str | None, BeforeValidator(_mac)]
KernelArguments = Annotated[tuple[str, ...], BeforeValidator(_kernel_arguments)]
PagesPerNode = Annotated[
    dict[int, int] | Literal["auto"],
    BeforeValidator(_pages_per_node),
    WithJsonSchema(
        {"anyOf": [{"const": "auto"}, {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}]}
    ),
]
LeaveOrCount = Annotated[
    int | Literal["auto", "leave"],
    BeforeValidator(_leave_or_count),
    WithJsonSchema({"anyOf": [{"enum": ["auto", "leave"]}, {"type": "integer", "minimum": 0}]}),
]
LeaveOrFlags = Annotated[
    dict[str, bool] | Literal["auto", "leave"],
    BeforeValidator(_leave_or_flags),
    WithJsonSchema(
        {"anyOf": [{"enum": ["auto", "leave"]}, {"type": "object", "additionalProperties": {"type": "boolean"}}]}
    ),
]
LeaveOrSwitch = Annotated[Literal["on", "off", "leave"], BeforeValidator(_switch)]
OffOrLeave = Annotated[Literal["off", "leave"], BeforeValidator(_switch)]
Driver = Annotated[Literal["vfio-pci", "uio_pci_generic"], BeforeValidator(_driver)]
