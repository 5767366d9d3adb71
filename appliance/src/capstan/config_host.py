"""Settings of the host that the captures run on: kernel command line, hugepages, NICs, interrupts, vendor modules.

The roles that prepare a host follow these; the planner turns every "auto" into numbers of that host. "leave" means that
a value stays as the host has it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from capstan.config_fields import (
    AbsolutePath,
    CardAttribute,
    Count,
    Driver,
    KernelArguments,
    LeaveOrCount,
    LeaveOrFlags,
    LeaveOrSwitch,
    OffOrLeave,
    OnOffAuto,
    PagesPerNode,
    PowerOfTwo,
    Settings,
)


class Kernel(Settings):
    """The kernel command line."""

    isolate_cpus: OnOffAuto = "auto"
    """Keep all else off the workers' CPUs (isolcpus, nohz_full, rcu_nocbs, irqaffinity); "auto": for dpdk's NICs."""
    iommu: OnOffAuto = "auto"
    """Switch the IOMMU on in pass-through mode, which vfio-pci needs; "auto" does so for dpdk's NICs."""
    arguments: KernelArguments = ()
    """Further arguments, such as ["processor.max_cstate=1"]; one that contradicts a derived one is refused."""
    trial: bool = False
    """Boot a changed command line once on trial: a host that does not come back boots the old one at its next reset."""


class Hugepages(Settings):
    """How much memory is reserved in hugepages."""

    size: Literal["auto", "2MiB", "1GiB"] = "auto"
    """Size of a page; "auto" takes 2 MiB, and 1 GiB where a node needs 4 GiB or more. 1 GiB comes with a boot."""
    per_node: PagesPerNode = "auto"
    """Pages of each NUMA node, such as {0: 512, 1: 512}; "auto" reserves what dpdk and buffers.hugepages: on need."""


class Nic(Settings):
    """Tuning of the capture ports' NICs. What a NIC does not have is told and passed over."""

    rx_ring: LeaveOrCount = "auto"
    """Descriptors of each receive ring; "auto" takes the most that the NIC has."""
    offloads: Literal["auto", "leave"] = "auto"
    """"auto" turns off what merges, splits or alters frames: GRO, LRO, VLAN tag stripping, VLAN filters."""
    rss: Literal["symmetric", "leave"] = "symmetric"
    """"symmetric" spreads both directions of a flow to the same queue, over the capture queues evenly."""
    flow_director: OffOrLeave = "off"
    """"off" switches off what the NIC steers by itself (ntuple, ATR), which would part the packets of a flow."""
    rx_usecs: LeaveOrCount = "leave"
    """Interrupt coalescing: microseconds that a receive interrupt waits; "auto" has the NIC adapt it, where it can."""
    mtu: LeaveOrCount = "leave"
    """Largest packet that the port takes; "auto" is the largest that the NIC has, up to 9000."""
    private_flags: LeaveOrFlags = "auto"
    """Private flags of the driver, such as {disable-fw-lldp: true}; "auto" sets those known to falsify a capture."""


class BusyPoll(Settings):
    """How the kernel polls the capture ports' queues, for af_packet and af_xdp."""

    napi_defer_hard_irqs: LeaveOrCount = "leave"
    """Empty polls before a queue's interrupt is enabled again."""
    gro_flush_timeout: LeaveOrCount = "leave"
    """Nanoseconds between such polls."""
    threaded: LeaveOrSwitch = "leave"
    """Poll in kernel threads of their own in place of soft interrupts."""


class Dpdk(Settings):
    """Options of the method dpdk."""

    driver: Driver = "vfio-pci"
    """Kernel driver that hands the NIC to user space; uio_pci_generic protects no memory: only where written here."""
    descriptors: Annotated[Count, Field(ge=64, le=32_768), PowerOfTwo] = 1024
    """Descriptors of each receive queue."""
    idle: Literal["sleep", "poll", "interrupt"] = "sleep"
    """What a worker does while its queue is empty: sleep for microseconds, go on polling, or wait for an interrupt."""
    huge: bool = True
    """Frames lie in hugepages, which NICs need; false takes ordinary memory, for hosts with virtual devices alone."""
    interpolate: bool = False
    """Spread the times of a burst's packets evenly since the burst before, where the port stamps none by itself."""


Spread = Literal[
    "channels",
    "flow",
    "flow_2_tuple",
    "flow_4_tuple",
    "flow_5_tuple",
    "flow_tcp_5_tuple",
    "flow_ip_5_tuple",
    "inner_flow",
    "inner_flow_2_tuple",
    "inner_flow_4_tuple",
    "inner_flow_5_tuple",
    "inner_flow_tcp_5_tuple",
    "inner_flow_ip_5_tuple",
]


class PfRing(Settings):
    """Options of the method pf_ring, and the vendor's kernel module and library that it needs."""

    packages: tuple[AbsolutePath, ...] = ()
    """The vendor's .deb files on the controller (pfring, pfring-dkms); for hosts without the repository."""
    repository: str | None = None
    """The vendor's package source, a line as in sources.list, where the host can reach one."""
    repository_key: AbsolutePath | None = None
    """File on the controller with the key that signs the repository."""
    min_num_slots: Annotated[Count, Field(ge=4096, le=4_194_304)] = 65_536
    """Slots of each ring."""
    library: AbsolutePath | None = None
    """The vendor's libpfring.so on the host, where it lies elsewhere than the loader looks."""
    zc: bool = False
    """Use the zero-copy drivers, which need a licence for each NIC."""
    licence: AbsolutePath | None = None
    """File on the controller with the zero-copy licence of this host."""
    spread: Spread = "channels"
    """How several queues share the packets: by the NIC's receive channels, or by a kernel cluster of this kind."""
    watermark: Annotated[Count, Field(ge=1, le=32_768)] = 128
    """Packets in a ring that wake a worker which sleeps; it looks by itself every 20 ms."""
    hardware_time: bool = False
    """Take the NIC's own time stamps; its clock must be synchronised."""


class Dag(Settings):
    """Options of the method dag. The card itself is set up by the vendor's tools: streams, memory, filters, colours."""

    library: AbsolutePath | None = None
    """The vendor's libdag.so on the host, where it lies elsewhere than the loader looks."""
    fcs: Literal["strip", "keep", "none"] = "strip"
    """Check sequences of the frames: taken off, kept, or taken off by the card already."""
    idle: Literal["sleep", "poll"] = "sleep"
    """What a worker does while its stream is empty: sleep for microseconds, or go on asking."""
    drop_attribute: CardAttribute = None
    """The card's counter of what a stream had no room for, by name or number; null: the vendor's stream_drop_count."""
