"""The one table of capture methods that the tests run over: each in every mode that a lab without NICs can have.

What a method can do is not kept here: it is asked from the engine (`--methods --json`). Here stands how a port is
opened and how packets come to it, and what the lab's own devices do to frames before the engine sees them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import programs
import pytest

TAPE = "tape"
"""The interface of a port that replays a file."""


@cache
def told() -> dict[str, dict[str, Any]]:
    """What the engine says of each of its methods."""
    methods = json.loads(programs.run(programs.beside_engine("capstan-engine"), "--methods", "--json").stdout)[
        "methods"
    ]
    return {method["name"]: method for method in methods}


@dataclass(frozen=True, eq=False)
class Driver:
    """A capture method in one of its modes."""

    name: str
    method: str
    mode: str
    """As the engine calls it."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of engine.json; what can be called is called for its value when a test runs."""
    tiny: dict[str, Any] = field(default_factory=dict)
    """Options for the smallest rings that the method has."""
    interface: str = "cap0"
    """What the port over the lab's link is called in engine.json."""
    names_link: bool = True
    """The port's interface is the link's name; else the device arguments of DPDK have it."""
    tape: str | None = None
    """Ending of a file that packets come from: the port has no link."""
    absent: str = "there is no such interface"
    """What is said of a link that is not there."""
    keeps_tag_types: bool = True
    """An 802.1ad tag stays one."""
    keeps_fragments: bool = True
    """The fragments of a packet are not put together before they are captured."""
    may_stamp_bursts: bool = False
    """Packets may have the time of their burst, and how wrong that may be is told."""
    card: bool = False
    """The port is no network device: nobody tells whether it carries, and it takes every frame."""
    counts_on: bool = True
    """What arrives while no engine has the port is counted."""
    privileges: frozenset[str] | None = None
    """What a port of this kind needs, where the method as a whole needs something else."""
    standin_needs: frozenset[str] = frozenset()
    """Privileges that the stand-in for a vendor's library needs, and the method with a real one does not."""

    def port(self, interface: str | None = None, queues: int = 1, **settings: Any) -> dict[str, Any]:
        """An entry of engine.json's `ports`."""
        wanted = {**self.options, **settings.pop("options", {})}
        options = {key: value() if callable(value) else value for key, value in wanted.items()}
        name = interface or (TAPE if self.tape else self.interface)
        return {"interface": name, "method": self.method, "queues": queues, "options": options, **settings}

    def port_on(self, link: str) -> dict[str, Any]:
        """A port on a link of another name than the lab's."""
        if self.names_link:
            return self.port(link)
        return self.port(options={"devargs": self.options["devargs"].replace("cap0", link)})

    @property
    def port_name(self) -> str:
        """The interface of its ports, which their files are named by."""
        return TAPE if self.tape else self.interface

    @property
    def about(self) -> dict[str, Any]:
        """What the engine says of the method."""
        return told()[self.method]

    def can(self, feature: str) -> bool:
        """Whether the engine says that the method can do something in this mode."""
        (mode,) = [mode for mode in self.about["modes"] if mode["name"] == self.mode]
        can: bool = mode[feature]
        return can

    @property
    def needs(self) -> frozenset[str]:
        """Capabilities that an engine keeps to open a port again."""
        return frozenset(self.about["privileges"]) if self.privileges is None else self.privileges


_XDP = {"frames": 16384, "ring": 16384}
_TINY_XDP = {"frames": 512, "ring": 64}
PCAP = Driver("pcap", "pcap", "live", tiny={"buffer_bytes": 1 << 20})
AF_PACKET = Driver("af_packet", "af_packet", "ring", tiny={"ring_bytes": 1 << 20, "block_bytes": 128 << 10})
AF_XDP_COPY = Driver("af_xdp-copy", "af_xdp", "copy", {"mode": "copy", **_XDP}, tiny=_TINY_XDP)
AF_XDP_SKB = Driver("af_xdp-skb", "af_xdp", "generic", {"mode": "skb", **_XDP}, tiny=_TINY_XDP)
DPDK = Driver(
    "dpdk",
    "dpdk",
    "virtual device",
    # Memory from malloc: a test host may have no hugepages. The ring holds a fifth of a second.
    {"huge": False, "devargs": "iface=cap0,framecnt=8192"},
    tiny={"devargs": "iface=cap0,framecnt=64"},
    interface="net_af_packet0",
    names_link=False,
    keeps_tag_types=False,
    keeps_fragments=False,
    may_stamp_bursts=True,
    privileges=frozenset({"net_raw", "net_admin", "ipc_lock"}),
)
"""Over DPDK's own driver for packet sockets; the devices without a link of the lab's are in test_dpdk.py."""
PF_RING = Driver(
    "pf_ring",
    "pf_ring",
    "one ring",
    {"library": programs.pfring},
    tiny={"library": lambda: programs.pfring("SLOTS=64")},
    keeps_tag_types=False,
)
"""Over a stand-in for the vendor's library; with CAPSTAN_PFRING=real over the vendor's module and library."""
PF_RING_ZC = Driver(
    "pf_ring-zc",
    "pf_ring",
    "zero-copy",
    {"library": programs.pfring, "zc": True},
    tiny={"library": lambda: programs.pfring("SLOTS=64")},
    keeps_tag_types=False,
    may_stamp_bursts=True,
    counts_on=False,
    privileges=frozenset({"net_raw", "net_admin", "ipc_lock"}),
)
"""The stand-in's is a ring as any other, which behaves as zero-copy does: without the kernel's filter and times."""
DAG = Driver(
    "dag",
    "dag",
    "card",
    {"library": programs.dag},
    tiny={"library": lambda: programs.dag("HOLE_DEFAULT=(1U<<20)")},
    absent="there is no card",
    card=True,
    counts_on=False,
    standin_needs=frozenset({"net_raw"}),
)
"""Over a stand-in for the vendor's library, for which every network device is a card of as many streams as queues."""
REPLAY_PCAP = Driver("replay-pcap", "replay", "file", tape="pcap")
REPLAY_PCAPNG = Driver("replay-pcapng", "replay", "file", tape="pcapng")
REPLAY_ERF = Driver("replay-erf", "replay", "file", tape="erf")

_MADE = (PCAP, AF_PACKET, AF_XDP_COPY, AF_XDP_SKB, DPDK, PF_RING, PF_RING_ZC, DAG)
# A real card has a wire of its own, which test_dag.py knows, and a veth has no zero-copy of PF_RING's; and the method
# dpdk may not be built.
LIVE = tuple(
    driver
    for driver in _MADE
    if (driver is not DAG or os.environ.get("CAPSTAN_DAG") != "real")
    and (driver is not PF_RING_ZC or os.environ.get("CAPSTAN_PFRING") != "real")
    and (driver is not DPDK or programs.beside_engine("source_dpdk.so").exists())
)
"""Those that packets come to by the lab's link."""
TAPES = (REPLAY_PCAP, REPLAY_PCAPNG, REPLAY_ERF)
"""Those whose packets are in a file."""
DRIVERS = (*LIVE, *TAPES)
EVERY = (*_MADE, *TAPES)
"""Also what this host cannot have."""

ELSEWHERE = {
    ("af_xdp", "zero-copy"): "test_start.py: a veth has none, and status says so",
    ("dpdk", "NIC"): "molecule/vm: NICs of whole machines",
    ("pf_ring", "cluster"): "test_pf_ring.py: more queues than the link has channels",
    ("pf_ring", "channels"): "test_queues.py: what several queues make of pf_ring",
    ("replay", "memory"): "test_replay.py: packets that are numbered by nobody",
}
"""The modes that are no driver of this table, and where they are tested."""


def each(drivers: tuple[Driver, ...] = DRIVERS) -> pytest.MarkDecorator:
    """Run a test with each of some methods as its `driver`."""
    return pytest.mark.parametrize("driver", drivers, ids=lambda driver: driver.name)
