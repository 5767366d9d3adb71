"""What NICs of real families answer to ethtool, as their Linux drivers have it, and a NIC that behaves by it.

The simulated NIC keeps the kernel's rules: queues that the RSS table names can't be taken away unless the table is the
driver's own; the driver's own table follows the queues; values that a driver does not know are refused.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_features import (
    DRIVERS_OWN,
    Nic,
    even_over,
    highest_queue,
    receive,
)

COMMON = {"rx-gro": True, "rx-gro-list": False, "rx-udp-gro-forwarding": False, "rx-checksum": True}
VLAN = {"rx-vlan-hw-parse": True, "rx-vlan-filter": True}
FIELDS = {"hash tcp4": "sdfn", "hash udp4": "sd", "hash sctp4": "sd", "hash tcp6": "sdfn", "hash udp6": "sd"}
KEY_40 = bytes(range(40)).hex()
KEY_52 = bytes(range(52)).hex()


@dataclass(frozen=True)
class Family:
    """A NIC as it comes up, and what of it can't be changed."""

    nic: Nic
    refused: tuple[str, ...] = ()
    """Settings that the driver refuses, by the beginning of their names."""


def family(
    driver: str,
    channels: tuple[int, int, int],
    most: int,
    *,
    ring: tuple[int, int] | None = None,
    features: dict[str, bool] | None = None,
    fixed: tuple[str, ...] = (),
    flags: dict[str, bool] | None = None,
    table: int = 0,
    key: str | None = None,
    max_mtu: int = 9216,
    refused: tuple[str, ...] = (),
    more: dict[str, Any] | None = None,
) -> Family:
    rx, tx, combined = channels
    settings: dict[str, Any] = {
        **{f"feature {name}": on for name, on in {**COMMON, **(features or {})}.items()},
        **{f"private flag {name}": on for name, on in (flags or {}).items()},
        "mtu": 1500,
        "promiscuous": False,
        "rules": [],
        "napi_defer_hard_irqs": 0,
        "gro_flush_timeout": 0,
        "threaded": 0,
        **(more or {}),
    }
    if most:
        settings["channels"] = {"rx": rx, "tx": tx, "combined": combined}
    if ring:
        settings["rx ring"] = ring[0]
    if table:
        settings |= {"rss function": 1, "rss transform": 0, "rss table": f"even over {rx + combined}"}
    if key:
        settings["rss key"] = key
    nic = Nic(driver, settings, most, bool(combined), ring[1] if ring else 0, max_mtu, fixed)
    return Family(nic, refused)


COALESCING = {"adaptive rx": True, "rx usecs": 50}
FAMILIES = {
    "ixgbe": family(
        "ixgbe",
        (0, 0, 16),
        63,
        ring=(512, 8192),
        features={**VLAN, "rx-lro": True, "rx-ntuple-filter": False},
        flags={"legacy-rx": False, "vf-ipsec": False},
        table=128,
        key=KEY_40,
        max_mtu=9710,
        more={**FIELDS, "adaptive rx": False, "rx usecs": 1},
        refused=("adaptive rx", "rss transform"),
    ),
    "i40e": family(
        "i40e",
        (0, 0, 16),
        64,
        ring=(512, 8160),
        features={**VLAN, "rx-ntuple-filter": True},
        flags={"flow-director-atr": True, "disable-fw-lldp": False, "legacy-rx": False},
        table=512,
        key=KEY_52,
        max_mtu=9702,
        more={**FIELDS, "hash udp4": "sdfn", "hash udp6": "sdfn", **COALESCING},
        refused=("rss transform",),
    ),
    "ice": family(
        "ice",
        (0, 0, 16),
        64,
        ring=(2048, 8160),
        features={**VLAN, "rx-vlan-stag-hw-parse": False, "rx-vlan-stag-filter": False, "rx-ntuple-filter": True},
        flags={"fw-lldp-agent": True, "link-down-on-close": False},
        table=2048,
        key=KEY_52,
        max_mtu=9702,
        more={**FIELDS, **COALESCING},
    ),
    "igb": family(
        "igb",
        (0, 0, 8),
        8,
        ring=(256, 4096),
        features={**VLAN, "rx-ntuple-filter": False},
        flags={"legacy-rx": False},
        table=128,
        more={"hash tcp4": "sdfn", "hash udp4": "sd", "hash tcp6": "sdfn", "hash udp6": "sd"}
        | {"adaptive rx": False, "rx usecs": 3},
        max_mtu=9216,
        refused=("rss transform", "adaptive rx"),
    ),
    "e1000e": family(
        "e1000e",
        (0, 0, 1),
        0,
        ring=(256, 4096),
        features=VLAN,
        more={"adaptive rx": False, "rx usecs": 3},
        refused=("adaptive rx",),
    ),
    "mlx5": family(
        "mlx5_core",
        (0, 0, 16),
        64,
        ring=(1024, 8192),
        features={**VLAN, "rx-lro": False, "rx-ntuple-filter": False, "rx-gro-hw": False},
        flags={"rx_cqe_moder": True, "rx_striding_rq": True},
        table=256,
        key=KEY_40,
        max_mtu=9978,
        more={"hash tcp4": "sdfn", "hash udp4": "sdfn", "hash tcp6": "sdfn", "hash udp6": "sdfn", **COALESCING},
        refused=("hash ",),
    ),
    "bnxt_en": family(
        "bnxt_en",
        (0, 0, 16),
        37,
        ring=(511, 2047),
        features={**VLAN, "rx-lro": False, "rx-gro-hw": True, "rx-ntuple-filter": False},
        table=128,
        key=KEY_40,
        max_mtu=9500,
        more={**FIELDS, **COALESCING},
    ),
    "virtio": family(
        "virtio_net",
        (0, 0, 4),
        4,
        ring=(256, 256),
        features={"rx-vlan-filter": True, "rx-gro-hw": True},
        fixed=("rx-vlan-filter",),
        max_mtu=65535,
        more={"adaptive rx": False, "rx usecs": 0},
        refused=("adaptive rx", "rx usecs"),
    ),
    "vmxnet3": family(
        "vmxnet3",
        (0, 0, 4),
        4,
        ring=(1024, 4096),
        features={**VLAN, "rx-lro": True},
        fixed=("rx-vlan-filter",),
        table=32,
        max_mtu=9190,
        more={"rss function": 0, "hash tcp4": "sdfn", "hash udp4": "sd", "rx usecs": 0, "adaptive rx": False},
        refused=("rss transform", "adaptive rx", "channels"),
    ),
    "ena": family(
        "ena",
        (0, 0, 8),
        8,
        ring=(1024, 8192),
        table=128,
        key=KEY_40,
        max_mtu=9216,
        more={"hash tcp4": "sdfn", "hash udp4": "sdfn", "adaptive rx": True, "rx usecs": 20},
        refused=("rss key", "hash ", "rss transform"),
    ),
    # A driver that counts receive and send queues apart.
    "tg3": family("tg3", (4, 1, 0), 4, ring=(200, 2047), features=VLAN, table=128, refused=("rss transform",)),
}


@dataclass
class SimulatedNic:
    """Stands for a Port: read and written as one."""

    family: Family
    port: dict[str, Any]
    interface: str = "cap"
    key: str = "0000:03:00.0"
    log: list[tuple[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nic = replace(self.family.nic, settings=dict(self.family.nic.settings))
        self.table_is_ours = False

    @property
    def name_now(self) -> str:
        """As Port.name_now."""
        return self.interface

    def read(self) -> Nic:
        """As Port.read."""
        return replace(self.nic, settings=dict(self.nic.settings))

    def write_features(self, wanted: dict[str, bool]) -> None:
        """As Port.write_features."""
        for name, on in wanted.items():
            if name.removeprefix("feature ") in self.nic.fixed:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            self._set(name, on)

    def write(self, setting: str, value: Any, nic: Nic, *, again: bool) -> None:  # noqa: ARG002 - as Port.write
        """As Port.write."""
        if setting.startswith(self.family.refused or ("-",)):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if setting == "channels":
            self._set_channels(value)
        elif setting == "rss table":
            self._set_table(value)
        elif setting == "rx ring" and value > self.nic.max_ring:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        else:
            self._set(setting, value)

    def _set(self, name: str, value: Any) -> None:
        assert name in self.nic.settings, f"{name} is nothing that this NIC has"
        self.log.append((name, value))
        self.nic.settings[name] = value

    def _set_channels(self, value: dict[str, int]) -> None:
        if self.table_is_ours and highest_queue(self.nic.settings.get("rss table")) >= receive(value):
            raise OSError(errno.EINVAL, "queues are in use by the RSS table")
        self._set("channels", value)
        if "rss table" in self.nic.settings and not self.table_is_ours:
            self.nic.settings["rss table"] = f"even over {receive(value)}"

    def _set_table(self, value: str | list[int]) -> None:
        queues = receive(self.nic.settings["channels"]) if "channels" in self.nic.settings else 2
        assert highest_queue(value) < queues
        self.table_is_ours = value != DRIVERS_OWN and even_over(value) != queues
        self._set("rss table", f"even over {queues}" if value == DRIVERS_OWN else value)
