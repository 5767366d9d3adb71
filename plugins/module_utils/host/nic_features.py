"""What a capture port's NIC should be set to, out of the plan and of what the NIC is: pure, nothing is touched.

A NIC is a flat table of settings. Its plan is another such table; what differs is written, in an order that no NIC
refuses, and what was there before is remembered under the same name.

    private flag NAME, feature NAME   true or false
    rules                             steering rules, as the kernel hands them out
    mtu, rx ring, rx usecs            numbers
    channels                          {rx, tx, combined}
    rss function, rss transform       the kernel's numbers
    rss key                           hexadecimal
    rss table                         "even over 4", or the queue of each entry
    hash udp4 ...                     the hashed fields in ethtool's letters: sdfn
    adaptive rx, promiscuous          true or false
    napi_defer_hard_irqs, gro_flush_timeout, threaded    as in sysfs
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host.ethtool import Channels
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_ethtool import TOEPLITZ
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError

BUSY_POLL = ("napi_defer_hard_irqs", "gro_flush_timeout", "threaded")
JUMBO = 9000  # bytes; what "max" means where a NIC takes more: no Ethernet carries more
SYMMETRIC_KEY = 0x6D5A
"""Repeated over the whole Toeplitz key it gives both directions of a flow one hash (Woo and Park, 2012)."""
_KEY_PERIOD = 2  # bytes; a key of this period treats addresses and ports the same, whichever comes first
_SYMMETRIC_TRANSFORMS = (1, 2)
_STEERING_FLAGS = ("flow-director-atr", "ntuple")
# On ixgbe switching ntuple off is what switches ATR on: with ntuple on and no rules it steers nothing.
_STEERS_WITHOUT_NTUPLE = ("ixgbe",)
_NTUPLE = "feature rx-ntuple-filter"
_DEPENDS = {"rss table": "channels"}
"""A table that had to go for the number of queues can come back only when that does."""

DRIVERS_OWN = "the driver's own"
"""A table that follows the number of queues by itself, and so stands in nobody's way."""

REFUSABLE = ("rss ", "hash ", "adaptive rx", "rx usecs", *BUSY_POLL)
"""Settings of which a NIC shows a value and may all the same refuse another: told, and the capture lives with it."""
RESETS = ("private flag ", "mtu", "channels", "rx ring")
"""Settings for which most NICs interrupt their link for a second or so."""
RESETS_FUNCTIONS = (*RESETS, "feature rx-ntuple-filter")
"""Settings by which a driver may reset the NIC, and with it the virtual functions."""
_ORDER = (
    "private flag ",  # firmware and steering: some drivers begin anew with them
    "rules gone",
    "feature ",
    "mtu",
    "channels",
    "rx ring",
    "rss function",
    "rss transform",
    "rss key",
    "rss table",  # the queues that it names have to be there
    "hash ",
    "rules",
    "adaptive rx",
    "rx usecs",
    "promiscuous",
    *BUSY_POLL,
)


@dataclass(frozen=True, slots=True)
class Nic:
    """A NIC as it is."""

    driver: str
    settings: Mapping[str, Any]
    max_queues: int = 0
    """Receive queues at most; 0 where the driver does not tell."""
    combined: bool = True
    """Whether the driver counts receive and send queues together."""
    max_ring: int = 0
    max_mtu: int = 0
    fixed: tuple[str, ...] = ()
    """Features that cannot be changed."""
    virtual_functions: int = 0
    """Virtual functions in use, whose link is interrupted when the driver resets the NIC; 0 where it never does."""

    @property
    def queues(self) -> int:
        """Receive queues now."""
        return receive(self.settings["channels"]) if "channels" in self.settings else 1


@dataclass(slots=True)
class Wish:
    """What is wanted of one NIC, and what it can't give."""

    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def receive(channels: Mapping[str, int]) -> int:
    """Receive queues of a setting of channels."""
    return channels["rx"] + channels["combined"]


def table_name(table: Iterable[int]) -> str | list[int]:
    """How a table is written down: one that goes round n queues as its driver would fill it, by their number."""
    entries = list(table)
    queues = max(entries, default=0) + 1
    if all(queue == place % queues for place, queue in enumerate(entries)):
        return f"even over {queues}"
    return entries


def even_over(name: object) -> int | None:
    """The n of "even over n"."""
    found = re.fullmatch(r"even over (\d+)", name) if isinstance(name, str) else None
    return int(found[1]) if found else None


def wish(nic: Nic, port: Mapping[str, Any], where: str) -> Wish:
    """Everything that the plan's port wants of this NIC.

    Args:
        nic: as it is.
        port: one of the plan's ports.
        where: name of the port in the inventory, such as capture_interfaces[0].

    Raises:
        HostError: the NIC has fewer queues than are asked for.

    """
    wanted, found = port["nic"], Wish()
    name = port["interface"]
    if wanted["channels"] is not None:
        _channels(found, nic, int(wanted["channels"]), f"{where}.queues", name)
    _ring(found, nic, wanted["rx_ring"], name)
    _features(found, nic, wanted["offloads_off"] or (), name)
    if wanted["flow_director_off"]:
        _no_steering(found, nic, name)
    for flag, on in (wanted["private_flags"] or {}).items():
        _private_flag(found, nic, flag, on, name)
    if wanted["rss"] == "symmetric":
        _symmetric(found, nic, int(port["queues"]), name)
    _coalescing(found, nic, wanted["rx_usecs"], name)
    if wanted["mtu"] is not None:
        found.settings["mtu"] = min(nic.max_mtu or JUMBO, JUMBO) if wanted["mtu"] == "max" else int(wanted["mtu"])
    if wanted["promiscuous"] is not None:
        found.settings["promiscuous"] = bool(wanted["promiscuous"])
    for attribute in BUSY_POLL:
        value = port["busy_poll"][attribute]
        if value is not None and attribute not in nic.settings:
            found.notes.append(f"{name}: this kernel or driver has no {attribute}")
        elif value is not None:
            found.settings[attribute] = int(value)
    return found


def _channels(found: Wish, nic: Nic, queues: int, key: str, name: str) -> None:
    if "channels" not in nic.settings:
        if queues > 1:
            found.notes.append(f"{name}: the driver {nic.driver} does not let the number of queues be set")
        return
    if queues > nic.max_queues:
        raise HostError(f"{key}: {name} has {nic.max_queues} receive queues at most; write {nic.max_queues} or less")
    now = nic.settings["channels"]
    if nic.queues != queues:
        as_combined = {"rx": 0, "tx": 0, "combined": queues}
        # As the supervisor does it: gve takes an XDP program only with as many for sending as for receiving.
        tx = min(now["tx"], queues) if now["tx"] == now["rx"] else now["tx"]
        now = as_combined if nic.combined else {"rx": queues, "tx": tx, "combined": 0}
    found.settings["channels"] = now


def _ring(found: Wish, nic: Nic, wanted: str | int | None, name: str) -> None:
    if wanted is None:
        return
    if "rx ring" not in nic.settings:
        found.notes.append(f"{name}: the driver {nic.driver} does not let the receive ring be set")
        return
    size = nic.max_ring if wanted == "max" else int(wanted)
    if size > nic.max_ring:
        found.notes.append(f"{name}: a receive ring has at most {nic.max_ring} descriptors, not {size}")
    found.settings["rx ring"] = min(size, nic.max_ring)


def _features(found: Wish, nic: Nic, off: Iterable[str], name: str) -> None:
    for feature in off:
        setting = f"feature {feature}"
        if setting not in nic.settings:
            continue  # a kernel that has no such feature has nothing to switch off
        if feature not in nic.fixed:
            found.settings[setting] = False
        elif nic.settings[setting]:
            found.notes.append(
                f"{name}: the driver does not let {feature} be turned off: frames may not be as they were"
            )


def _no_steering(found: Wish, nic: Nic, name: str) -> None:
    for flag in _STEERING_FLAGS:
        if f"private flag {flag}" in nic.settings:
            found.settings[f"private flag {flag}"] = False
    if nic.settings.get("rules"):
        found.notes.append(f"{name}: {len(nic.settings['rules'])} steering rules are taken out while it captures")
    if "rules" in nic.settings:
        found.settings["rules"] = []
    if _NTUPLE in nic.settings and _NTUPLE.removeprefix("feature ") not in nic.fixed:
        found.settings[_NTUPLE] = nic.driver in _STEERS_WITHOUT_NTUPLE


def _private_flag(found: Wish, nic: Nic, flag: str, on: bool, name: str) -> None:
    if f"private flag {flag}" in nic.settings:
        found.settings[f"private flag {flag}"] = on
    else:
        found.notes.append(f"{name}: the driver {nic.driver} has no private flag {flag}")


def _symmetric(found: Wish, nic: Nic, capture_queues: int, name: str) -> None:
    after = receive(found.settings["channels"]) if "channels" in found.settings else nic.queues
    queues = min(capture_queues, after)
    if "rss table" in nic.settings:
        found.settings["rss table"] = f"even over {queues}"
    elif after > queues:
        found.notes.append(f"{name}: packets are spread over {after} queues, of which {queues} are captured from")
    if after <= 1 or queues <= 1:
        return  # one queue gets every packet, whatever its hash
    _symmetric_hash(found, nic, name)
    for setting, fields in nic.settings.items():
        if setting.startswith("hash "):
            found.settings[setting] = symmetric_fields(setting.removeprefix("hash "), fields)


def _symmetric_hash(found: Wish, nic: Nic, name: str) -> None:
    key = nic.settings.get("rss key")
    transform = nic.settings.get("rss transform", 0)
    if "rss function" not in nic.settings:
        found.notes.append(
            f"{name}: the driver {nic.driver} has no hash that can be set: a flow may come by two queues"
        )
    elif transform in _SYMMETRIC_TRANSFORMS and not _periodic(key):
        return  # symmetric by the NIC itself
    elif not key:
        found.settings["rss transform"] = 1
    else:
        if nic.settings["rss function"] not in (0, TOEPLITZ):
            found.settings["rss function"] = TOEPLITZ
        if transform:
            # Both at once would give every packet the same hash, and so one queue: each half would cancel the other.
            found.settings["rss transform"] = 0
        found.settings["rss key"] = key if _periodic(key) else symmetric_key(len(key) // 2)


def symmetric_key(length: int) -> str:
    """The key of so many bytes, in hexadecimal."""
    return (SYMMETRIC_KEY.to_bytes(2, "big") * length)[:length].hex()


def _periodic(key: str | None) -> bool:
    raw = bytes.fromhex(key or "")
    return len(raw) > _KEY_PERIOD and len(set(raw)) > 1 and raw[_KEY_PERIOD:] == raw[:-_KEY_PERIOD]


def symmetric_fields(flow: str, fields: str) -> str:
    """What a kind of packet is hashed over, so that neither direction nor fragments part a flow.

    UDP by its addresses alone: fragments behind the first carry no ports, and large datagrams (IPsec, tunnels, DNS)
    come in fragments. TCP and SCTP avoid fragments: they keep their ports, which spread better, in pairs.
    """
    if flow.startswith("udp"):
        return "sd"
    if not set(fields) & set("sdfn"):
        return fields
    kept = set(fields) | set("sd") | (set("fn") if set(fields) & set("fn") else set())
    return "".join(letter for letter in "mvtsdfnelr" if letter in kept)


def _coalescing(found: Wish, nic: Nic, wanted: str | int | None, name: str) -> None:
    if wanted is None:
        return
    if "rx usecs" not in nic.settings:
        found.notes.append(f"{name}: the driver {nic.driver} does not let interrupt coalescing be set")
    elif wanted == "adaptive":
        found.settings["adaptive rx"] = True
    else:
        if nic.settings["adaptive rx"]:
            found.settings["adaptive rx"] = False
        found.settings["rx usecs"] = int(wanted)


def given_back(remembered: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Originals of settings that nobody wants changed any longer."""
    return {
        setting: value
        for setting, value in remembered.items()
        if setting not in wanted and _DEPENDS.get(setting) not in wanted
    }


def held(nic: Nic, target: Mapping[str, Any]) -> list[str]:
    """Settings that have to stay as they are, because others use virtual functions of the NIC."""
    if not nic.virtual_functions:
        return []
    found = [name for name, _ in steps(nic, target) if name.startswith(RESETS_FUNCTIONS)]
    # Which queues a table may name depends on how many there are.
    return [*found, "rss table"] if "channels" in found else found


def steps(nic: Nic, target: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What to write, in order; nothing where the NIC is as it should be. Settings that it has not are passed over."""
    now = nic.settings
    differs = [(name, value) for name, value in target.items() if name in now and now[name] != value]
    todo = sorted(differs, key=lambda step: _place(*step))
    for name, value in todo:
        if name == "channels" and highest_queue(now.get("rss table")) >= receive(value):
            # The kernel refuses to take away a queue that a table names; the driver's own table follows the queues.
            return _with_reset(todo)
    return todo


def _with_reset(todo: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    at = next(place for place, (name, _) in enumerate(todo) if name == "channels")
    return [*todo[:at], ("rss table", DRIVERS_OWN), *todo[at:]]


def highest_queue(table: object) -> int:
    """Highest queue of a table, which counts from 0; -1 without one."""
    if isinstance(table, list):
        return max(table, default=-1)
    return (even_over(table) or 0) - 1


def _place(name: str, value: object) -> tuple[int, str]:
    if name == "rules" and not value:
        name = "rules gone"
    return next(place for place, prefix in enumerate(_ORDER) if name.startswith(prefix)), name


def channels_of(found: Channels) -> dict[str, int]:
    """A driver's channels as a setting."""
    return {"rx": found.rx, "tx": found.tx, "combined": found.combined}
