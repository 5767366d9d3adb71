"""The kinds of value that a target holds, read by the same rules as the engine reads them (native/targets)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

PROTOCOLS: Final = {
    "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51,
    "icmpv6": 58, "ospf": 89, "sctp": 132, "udplite": 136,
}  # fmt: skip
_NAMES: Final = {number: name for name, number in PROTOCOLS.items()}
WITH_PORTS: Final = ("tcp", "udp", "udplite", "sctp", "dccp")
DIRECTIONS: Final = ("both", "from", "to")
NOTE_BYTES: Final = 255
_ENTRIES: Final = 65_535
_LAST_PORT: Final = 65_535
_LAST_VLAN: Final = 4095
_LAST_PROTOCOL: Final = 255
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_YEARS: Final = range(1970, 2262)

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_MAC: Final = re.compile(r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}", re.ASCII)
_PREFIX_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)
_PORTS: Final = re.compile(r"(0|[1-9][0-9]{0,4})(?:-(0|[1-9][0-9]{0,4}))?", re.ASCII)
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)


def _target_id(value: object) -> object:
    if not isinstance(value, str) or not _UUID.fullmatch(value.lower()):
        raise ValueError('is no UUID; write one such as "01234567-89ab-cdef-0123-456789abcdef"')
    return value.lower()


def _each(value: object, read: Callable[[Any], Any], example: str) -> object:
    """A list that is there and not empty, each entry read; a mistake is told with its place."""
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        raise ValueError(f"is no list; write {example}")
    if not value:
        raise ValueError(f"is empty; remove it, or write what belongs there, such as {example}")
    if len(value) > _ENTRIES:
        raise ValueError(f"has more than {_ENTRIES} entries; make several targets of it")
    found = []
    for index, entry in enumerate(value):
        try:
            found.append(read(entry))
        except ValueError as error:
            raise ValueError(f"entry {index} {error}") from None
    return tuple(found)


def _prefix(value: object) -> str:
    wanted = 'is no address; write one such as "192.0.2.1" or "2001:db8::/48"'
    if not isinstance(value, str) or "%" in value:
        raise ValueError(wanted)
    text, slash, length = value.partition("/")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(wanted) from None
    most = address.max_prefixlen
    if slash and (not _PREFIX_LENGTH.fullmatch(length) or int(length) > most):
        raise ValueError(f"has no prefix length from 0 to {most} behind its slash; write {address}/{most}")
    network = ipaddress.ip_network((address, int(length) if slash else most), strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        inner = ipaddress.IPv4Address(int(network.network_address) & 0xFFFFFFFF)
        raise ValueError(
            f"is an IPv4 address in the form of IPv6, which no packet has; write {inner}/{network.prefixlen - 96}"
        )
    if network.network_address != address:
        raise ValueError(
            f"has bits behind its prefix length; write {network} for the network, or {address} for the host"
        )
    return str(network)


def _port(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LAST_PORT:
        return str(value)
    found = _PORTS.fullmatch(value) if isinstance(value, str) else None
    first = int(found[1]) if found else _LAST_PORT + 1
    last = int(found[2]) if found and found[2] is not None else first
    if max(first, last) > _LAST_PORT:
        raise ValueError('is no port or range of ports from 0 to 65535; write "443" or "1024-2047"')
    if last < first:
        raise ValueError(f'ends before it begins; write "{last}-{first}"')
    return str(first) if first == last else f"{first}-{last}"


def _vlan(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LAST_VLAN:
        raise ValueError("is no VLAN id; write a number from 0 to 4095 without quotes")
    return value


def _mac(value: object) -> str:
    if not isinstance(value, str) or not _MAC.fullmatch(value.lower()):
        raise ValueError('is no MAC address; write one in quotes such as "52:54:00:00:00:01"')
    return value.lower().replace("-", ":")


def _protocol(value: object) -> object:
    if value is None or (isinstance(value, str) and value in PROTOCOLS):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LAST_PROTOCOL:
        return _NAMES.get(value, value)
    raise ValueError('is no protocol; write a name such as "tcp", "udp", "sctp" or "icmp", or a number from 0 to 255')


def _direction(value: object) -> object:
    if value is None:
        return "both"
    if value not in DIRECTIONS:
        raise ValueError("is no direction; write both, from or to")
    return value


def nanoseconds(text: str) -> int:
    """Nanoseconds since 1970 of a time that is written as _time leaves it, or as an operator may write it.

    Raises:
        ValueError: it is no such time.

    """
    found = _TIME.fullmatch(text)
    if found is None or int(found[1]) not in _YEARS:
        raise ValueError(text)
    moment = datetime(*(int(part) for part in found.groups()[:6]), tzinfo=UTC)  # type: ignore[arg-type,misc]
    if found[8] is not None:
        if int(found[9]) > 23 or int(found[10]) > 59:  # noqa: PLR2004 - hours and minutes
            raise ValueError(text)
        offset = timedelta(hours=int(found[9]), minutes=int(found[10]))
        moment -= offset if found[8] == "+" else -offset
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    if seconds < 0:
        raise ValueError(text)
    return seconds * 1_000_000_000 + int((found[7] or "").ljust(9, "0"))


def _time(value: object) -> object:
    if value is None:
        return None
    # YAML reads a time without quotes as one.
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    try:
        whole, fraction = divmod(nanoseconds(value if isinstance(value, str) else ""), 1_000_000_000)
    except (ValueError, OverflowError):
        raise ValueError(
            'is no time from 1970 to 2261; write one such as "2026-12-01T00:00:00Z" or "2026-12-01T01:00:00+01:00"'
        ) from None
    told = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{told}.{fraction:09d}Z" if fraction else f"{told}Z"


def _start(value: object) -> object:
    told = _time(value)
    # The engine keeps times from the epoch on, and its first moment for those without a beginning.
    return None if told == "1970-01-01T00:00:00Z" else told


def _note(value: object) -> object:
    if value is None:
        return None
    try:
        size = len(value.encode()) if isinstance(value, str) else 0
    except UnicodeEncodeError:
        size = 0
    if not isinstance(value, str) or not 0 < size <= NOTE_BYTES:
        raise ValueError(f"is no text of 1 to {NOTE_BYTES} bytes; write one, in quotes")
    if any(character < " " or character == "\x7f" for character in value):
        raise ValueError("holds a line break or another control character; remove it")
    return value


def _prefixes(value: object) -> object:
    return _each(value, _prefix, '["192.0.2.1"]')


def _ports(value: object) -> object:
    return _each(value, _port, '["443"]')


def _vlans(value: object) -> object:
    return _each(value, _vlan, "[100]")


def _macs(value: object) -> object:
    return _each(value, _mac, '["52:54:00:00:00:01"]')


def _listed(item: dict[str, object]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "null"}, {"type": "array", "items": item, "minItems": 1}]})


_VLAN_SCHEMA: Final[dict[str, object]] = {"type": "integer", "minimum": 0, "maximum": _LAST_VLAN}
TargetId = Annotated[str, BeforeValidator(_target_id)]
Prefixes = Annotated[tuple[str, ...] | None, BeforeValidator(_prefixes), _listed({"type": "string"})]
Ports = Annotated[tuple[str, ...] | None, BeforeValidator(_ports), _listed({"type": ["string", "integer"]})]
Vlans = Annotated[tuple[int, ...] | None, BeforeValidator(_vlans), _listed(_VLAN_SCHEMA)]
Macs = Annotated[tuple[str, ...] | None, BeforeValidator(_macs), _listed({"type": "string"})]
Protocol = Annotated[
    str | int | None,
    BeforeValidator(_protocol),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "null"},
                {"enum": list(PROTOCOLS)},
                {"type": "integer", "minimum": 0, "maximum": _LAST_PROTOCOL},
            ]
        }
    ),
]
Direction = Annotated[str, BeforeValidator(_direction), WithJsonSchema({"enum": list(DIRECTIONS)})]
Time = Annotated[str | None, BeforeValidator(_time)]
Start = Annotated[str | None, BeforeValidator(_start)]
Note = Annotated[str | None, BeforeValidator(_note)]
