"""The plan of a host: who captures what where, and what the host must be like for it. Made by `capstan.planner`.

The roles that prepare a host read it as JSON (`as_json`), people as a table (`capstan.plan_text`), the supervisor as it
is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

WITHOUT_NETDEV: Final = frozenset({"dag", "replay"})
"""Methods whose ports are no network devices, now or before: no driver, interrupt, namespace or setting of one."""


@dataclass(frozen=True, slots=True)
class NicTuning:
    """What the NIC of a port is to be like; None leaves a value as it is."""

    channels: int | None = None
    """Receive queues."""
    rx_ring: int | Literal["max"] | None = None
    """Descriptors of each receive ring."""
    offloads_off: tuple[str, ...] = ()
    """Features as ethtool names them."""
    rss: Literal["symmetric"] | None = None
    flow_director_off: bool = False
    rx_usecs: int | Literal["adaptive"] | None = None
    """Microseconds that a receive interrupt waits."""
    mtu: int | Literal["max"] | None = None
    private_flags: dict[str, bool] | None = None
    promiscuous: bool | None = None


@dataclass(frozen=True, slots=True)
class PollTuning:
    """How the kernel polls the queues of a port; None leaves a value as it is."""

    napi_defer_hard_irqs: int | None = None
    gro_flush_timeout: int | None = None
    """Nanoseconds."""
    threaded: bool | None = None


@dataclass(frozen=True, slots=True)
class PlannedPort:
    """A capture port with everything decided, in the order of the settings' interfaces."""

    interface: str | None
    """Name that the kernel gives it, or gave it before it was bound; a DAG card; the label of a replay."""
    pci: str | None
    """None: no NIC on the PCI bus, so that there is no driver to bind and no interrupt to move."""
    method: str
    """Never "auto": what that came to."""
    queues: int
    workers: tuple[int, ...]
    """CPU of queue i is workers[i % len(workers)]."""
    mac: str | None = None
    expected_name: str | None = None
    """MAC address and name that the settings ask to be compared."""
    driver: str | None = None
    """Driver of user space to bind the NIC to; None: it stays on its kernel driver, or returns to it."""
    node: int | None = None
    """NUMA node of the NIC or card; None where the machine does not say."""
    netns: str | None = None
    irq: tuple[tuple[int, ...], ...] | None = None
    """CPUs for the interrupt of each queue; None leaves them."""
    nic: NicTuning = NicTuning()
    busy_poll: PollTuning = PollTuning()
    rings: int = 0
    """Bytes of the kernel's rings behind its sockets."""
    chosen: bool = False
    """The method was chosen by `auto`: nothing is asked for it that only a boot brings."""
    vdev: str | None = None
    """Name of the virtual device of DPDK; `interface` and `pci` are then of the network device below it, if any."""

    @property
    def label(self) -> str:
        """What a person calls it."""
        return self.vdev or self.interface or self.pci or ""

    @property
    def through_netdev(self) -> bool:
        """Whether its packets come from a network device of the kernel."""
        if self.vdev is not None:
            return self.interface is not None
        return self.method not in {"dpdk", *WITHOUT_NETDEV}


@dataclass(frozen=True, slots=True)
class PlannedPages:
    """Hugepages to be there on one node."""

    size: int
    """Bytes of a page."""
    node: int
    pages: int

    @property
    def bytes(self) -> int:
        """Memory of all of them."""
        return self.size * self.pages


@dataclass(frozen=True, slots=True)
class PlannedMount:
    """A mount of hugetlbfs."""

    size: int
    """Bytes of a page."""
    path: str


@dataclass(frozen=True, slots=True)
class KernelArgument:
    """One argument of the kernel command line."""

    argument: str
    reason: str
    """The setting that it comes from."""
    essential: bool = False
    """The method cannot work before the kernel was booted with it."""


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """Where the memory goes, in bytes."""

    available: int = 0
    """What can be had, with the planned hugepages that are reserved already."""
    hugepages: int = 0
    rings: int = 0
    """Rings of the kernel's sockets."""
    receive_rings: int = 0
    """What the kernel's drivers keep behind the NICs' receive rings, by estimate."""
    frames: int = 0
    """DPDK's memory where it is not in hugepages."""
    blocks: int = 0
    """Blocks in ordinary memory; others are in the hugepages."""
    left: int = 0


@dataclass(frozen=True, slots=True)
class Decided:
    """What `auto` came to on a host; made by `capstan.advise`."""

    methods: tuple[str, ...]
    """Of each of the settings' interfaces, in their order; none is "auto"."""
    told: tuple[str, ...] = ()
    """A sentence or two for each port whose method was chosen."""
    choices: Mapping[str, Any] = field(default_factory=dict)
    """What is to be on record, by the port's identity in the settings."""
    due: bool = False
    """Whether something else is on record."""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """Everything that is decided about a host."""

    host: str
    ports: tuple[PlannedPort, ...]
    workers: tuple[int, ...]
    writers: tuple[int, ...]
    """CPUs that the writer may run on; none leaves the choice to the kernel."""
    housekeeping: tuple[int, ...]
    """CPUs for everything else, the writers' among them."""
    isolated: tuple[int, ...] = ()
    """CPUs to be isolated by the kernel command line: the workers' and their idle SMT siblings."""
    hugepages: tuple[PlannedPages, ...] = ()
    hugepages_mounts: tuple[PlannedMount, ...] = ()
    kernel_arguments: tuple[KernelArgument, ...] = ()
    memory: MemoryBudget = MemoryBudget()
    records: tuple[str, ...] = ()
    """What earlier preparations of the host changed, by the names of their records."""
    systemd: bool = False
    """Whether the host has systemd."""
    notes: tuple[str, ...] = ()
    """Sentences on what is less than asked for, or worth knowing."""
    auto: tuple[str, ...] = ()
    """Sentences on what `auto` came to, and why."""
    choices: Mapping[str, Any] = field(default_factory=dict)
    """What `auto` came to, as it is to be on record."""
    choices_due: bool = False
    """Whether something else is on record."""
    text: tuple[str, ...] = ()
    """The plan as a table for people."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods in use, each once."""
        return tuple(dict.fromkeys(port.method for port in self.ports))

    def as_json(self) -> dict[str, Any]:
        """As plain values, which the roles read."""
        plain: dict[str, Any] = json.loads(json.dumps({**asdict(self), "methods": self.methods}))
        return plain
