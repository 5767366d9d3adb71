"""The settings of one capture host, as /etc/capstan/capstan.yml and the inventory's `capture_*` variables hold them.

One model serves both: the role writes the file from the variables with the same names and shapes, the supervisor reads
it, and the Ansible controller validates every host's variables with it before any host is touched. The controller
imports this module with nothing but pydantic and PyYAML installed, so it may need no other package.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from capstan import config_problems as problems
from capstan.config_contradictions import found_in
from capstan.config_fields import (
    BUILT_METHODS,
    MAX_SNAPLEN,
    AbsolutePath,
    Account,
    Cores,
    Count,
    ExpectedPackets,
    FilterExpression,
    InterfaceEntry,
    InterfaceList,
    InterfaceName,
    MacAddress,
    Method,
    NetnsName,
    OnOffAuto,
    PciAddress,
    PowerOfTwo,
    Queues,
    Settings,
    Size,
    Streams,
    TargetsFile,
    Tunnels,
    VirtualDeviceText,
    WholeMebibytes,
)
from capstan.config_host import BusyPoll, Dag, Dpdk, Hugepages, Kernel, Nic, PfRing
from capstan.errors import UsageError
from capstan.quantities import GIB, KIB, MIB
from capstan.targets import TargetList
from capstan.virtual_devices import VirtualDevice, parse

__all__ = [
    "BUILT_METHODS",
    "INVENTORY_VARIABLES",
    "CaptureConfig",
    "ConfigError",
    "Interface",
    "check_fleet",
    "from_inventory",
    "json_schema",
    "load",
]


class ConfigError(UsageError):
    """Settings that cannot work: `problems` holds a sentence each, naming host, key and remedy; str() is one a line."""

    def __init__(self, sentences: tuple[str, ...]) -> None:
        super().__init__("\n".join(sentences))
        self.problems = sentences


class Interface(Settings):
    """A capture port, found by its PCI address, or by its name. With both, the name is a cross-check.

    Or a virtual device of DPDK, which has neither.
    """

    name: InterfaceName = None
    """Name of the interface, such as eth1; for dpdk, as under its kernel driver; for dag, a card such as /dev/dag0."""
    pci: PciAddress = None
    """PCI address of the NIC, in quotes, such as "0000:19:00.1"; stays the same when names change."""
    vdev: VirtualDeviceText = None
    """Virtual device of DPDK in place of a NIC, in quotes, such as "net_af_packet0,iface=eth1"; for dpdk alone."""
    mac: MacAddress = None
    """MAC address that the NIC must have; a cross-check, so that another card in the same slot is not taken."""
    queues: Queues = "auto"
    """Receive queues to capture from; "auto" takes what the NIC has, at most one a worker CPU."""
    method: Method | None = None
    """Capture method of this interface where it differs from the host's."""
    streams: Streams = None
    """Receive streams of a DAG card, one a queue, such as [0, 2]; null takes as many as queues, in their order."""
    expected_pps: ExpectedPackets = None
    """Packets a second that this interface is to take, where that differs from the host's."""
    tunnels: Tunnels = ()
    """Encapsulations of this interface that targets are looked for inside of: mpls, gre, gtp_u, vxlan."""

    @model_validator(mode="after")
    def _an_identity(self) -> Interface:
        if self.name is None and self.pci is None and self.vdev is None:
            raise ValueError(
                'has neither name nor pci; write one of them, such as {name: eth1} or {pci: "0000:19:00.1"}'
            )
        return self

    @property
    def identity(self) -> str:
        """What finds it: the virtual device's name, the PCI address, or the name."""
        device = self.device
        return device.name if device is not None else self.pci or self.name or ""

    @property
    def device(self) -> VirtualDevice | None:
        """The virtual device that it is."""
        return parse(self.vdev) if self.vdev is not None else None


class Output(Settings):
    """Where capture files go and when a new one begins."""

    directory: AbsolutePath = PurePosixPath("/var/lib/capstan/captures")
    """Directory of the capture files."""
    rotate_size: Annotated[Size, Field(ge=4 * MIB, le=1024 * GIB)] = GIB
    """A file that reached this size is closed and the next one begins."""
    rotate_seconds: Annotated[Count, Field(ge=0, le=366 * 86_400)] = 3600
    """A file that is this old is closed and the next one begins; 0 goes by size alone."""
    min_free: Annotated[Size, Field(ge=0)] = GIB
    """Free space kept on the file system: the oldest whole capture files are removed first."""
    direct_io: OnOffAuto = "auto"
    """Write past the page cache (O_DIRECT); "auto" does so where the file system can."""
    latency_ms: Annotated[Count, Field(ge=50, le=60_000)] = 1000
    """Milliseconds from a packet's arrival to its being in the file, at most, as long as the disk keeps up."""
    by_target: bool = False
    """Give each target a stream of files of its own, in a folder that has the target's UUID for its name."""
    open_files: Annotated[Count, Field(ge=16, le=4000)] = 1024
    """Files of targets open at once; with more targets at a time, files end early, and are counted as such."""


class Buffers(Settings):
    """Memory between the capture workers and the writer."""

    block_size: Annotated[Size, Field(ge=512 * KIB, le=64 * MIB), PowerOfTwo] = MIB
    """Size of a block, the unit in which packets reach the files."""
    blocks_per_queue: Annotated[Count, Field(ge=4, le=65_536)] = 64
    """Blocks of each queue; how long a slow disk is ridden out."""
    hugepages: OnOffAuto = "auto"
    """Take blocks from hugepages; "on" fails without them, "auto" takes ordinary pages then."""
    stream_size: Annotated[Size, Field(ge=8 * MIB, le=GIB), WholeMebibytes] = 16 * MIB
    """Memory of each queue to bring packets into targets' files; taken with output.by_target alone."""


class AfPacket(Settings):
    """Options of the method af_packet."""

    ring_size: Annotated[Size, Field(ge=2 * MIB, le=2 * GIB), WholeMebibytes] = 64 * MIB
    """Size of the kernel's ring of each queue."""
    fanout: Literal["hash", "cpu", "queue"] = "hash"
    """How the kernel spreads packets over the queues."""


class AfXdp(Settings):
    """Options of the method af_xdp."""

    mode: Literal["auto", "zerocopy", "copy", "skb"] = "auto"
    """Mode of the XDP socket; "auto" takes the best that kernel and driver give."""
    frames: Annotated[Count, Field(ge=1024, le=1_048_576), PowerOfTwo] = 16_384
    """Packet frames of each queue's memory."""


class Pcap(Settings):
    """Options of the method pcap."""

    buffer_size: Annotated[Size, Field(ge=64 * KIB, le=2 * GIB - MIB)] = 64 * MIB
    """Size of libpcap's buffer in the kernel."""


class Generate(Settings):
    """Packets made in memory, for benchmarks without a NIC."""

    packets: Annotated[Count, Field(ge=0)] = 0
    """How many; 0 goes on until the stop."""
    size: Annotated[Count, Field(ge=60, le=65_535)] = 64
    """Bytes of each frame, without its check sequence."""
    flows: Annotated[Count, Field(ge=1)] = 1024
    """Different flows."""
    distinct: Annotated[Count, Field(ge=1)] = 4096
    """Different packets held in memory."""


class Replay(Settings):
    """Options of the method replay: packets from a file, or made in memory."""

    file: AbsolutePath | None = None
    """The pcap, pcapng or ERF file to read."""
    loops: Annotated[Count, Field(ge=1)] = 1
    """How often the file is read."""
    pace: Literal["fast", "recorded"] = "fast"
    """As fast as the engine takes them, or with the gaps that were recorded."""
    fcs: Literal["strip", "keep", "none"] = "strip"
    """Check sequences of the frames of an ERF file: taken off, kept, or not in the file."""
    generate: Generate | None = None
    """Make packets instead of reading a file."""

    @model_validator(mode="after")
    def _one_source(self) -> Replay:
        if (self.file is None) == (self.generate is None):
            raise ValueError(
                "needs exactly one source of packets; write file: /path/of/a.pcapng or generate: {size: 64}"
            )
        return self


class CaptureConfig(Settings):
    """The settings of one capture host."""

    version: Literal[1] = 1
    """Version of this shape."""
    host: str = "local"
    """Name of the host in the inventory, used in messages."""
    method: Method = "af_packet"
    """Capture method of the host; "auto" takes the one that suits each NIC, of those that need no reboot."""
    expected_pps: ExpectedPackets = None
    """Packets a second that each interface is to take, for "auto"; null is the line rate at 64 bytes."""
    interfaces: Annotated[tuple[Annotated[Interface, InterfaceEntry], ...], InterfaceList] = Field(
        examples=[[{"name": "eth1"}]]
    )
    """The capture ports."""
    netns: NetnsName = None
    """Network namespace in which the interfaces are; null is the host's own."""
    cores: Cores = "auto"
    """CPUs of the capture workers."""
    filter: FilterExpression = None
    """pcap filter expression; packets that do not match are counted as filtered. null captures everything."""
    targets: TargetList = None
    """Whose packets are captured; null is everybody's, and with an empty list nothing is until some are added."""
    targets_file: TargetsFile = None
    """File with that list, in place of targets: JSON or YAML, on the controller; may be encrypted by ansible-vault."""
    snaplen: Annotated[Count, Field(ge=64, le=MAX_SNAPLEN)] = MAX_SNAPLEN
    """Bytes kept of each packet."""
    promiscuous: bool = True
    """Receive frames for other stations as well."""
    strict: bool = False
    """Fail instead of running in a lesser mode than asked for."""
    output: Output = Output()
    """Capture files."""
    buffers: Buffers = Buffers()
    """Memory between workers and writer."""
    af_packet: AfPacket = AfPacket()
    """Options of af_packet."""
    af_xdp: AfXdp = AfXdp()
    """Options of af_xdp."""
    pcap: Pcap = Pcap()
    """Options of pcap."""
    replay: Replay | None = None
    """Options of replay; needed by that method alone."""
    dpdk: Dpdk = Dpdk()
    """Options of dpdk."""
    pf_ring: PfRing = PfRing()
    """Options of pf_ring."""
    dag: Dag = Dag()
    """Options of dag."""
    kernel: Kernel = Kernel()
    """Kernel command line of the host."""
    hugepages: Hugepages = Hugepages()
    """Hugepages of the host."""
    nic: Nic = Nic()
    """Tuning of the capture ports' NICs."""
    irq_affinity: OnOffAuto = "auto"
    """Give the interrupts of each capture queue to the CPU of its worker; "auto" does so where a queue has its own."""
    busy_poll: BusyPoll = BusyPoll()
    """How the kernel polls the capture ports' queues."""
    reboot: Literal["never", "auto"] = "never"
    """Whether the deployment may reboot the host when something needs it; "never" tells that a reboot is due."""
    user: Account = "capstan"
    """Account that the engine runs as."""
    group: Account = "capstan"
    """Group that the engine runs as and that may read status and files."""

    @model_validator(mode="after")
    def _no_contradiction(self) -> CaptureConfig:
        contradictions = tuple(found_in(self))
        if contradictions:
            raise problems.contradiction_error(contradictions)
        return self

    def method_of(self, interface: Interface) -> str:
        """Capture method of one interface: its own, else the host's."""
        return interface.method or self.method

    @property
    def has_targets(self) -> bool:
        """Whether targets say what is captured."""
        return self.targets is not None or self.targets_file is not None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods in use, each once, in the order of the interfaces."""
        return tuple(dict.fromkeys(self.method_of(interface) for interface in self.interfaces))

    @property
    def socket_methods(self) -> tuple[str, ...]:
        """The methods whose sockets the kernel must have: those in use, and those that virtual devices are like."""
        devices = (interface.device for interface in self.interfaces)
        like = (device.like for device in devices if device is not None and device.like is not None)
        return tuple(dict.fromkeys((*self.methods, *like)))

    @property
    def dpdk_has_nics(self) -> bool:
        """Whether DPDK takes NICs from the kernel, and not virtual devices alone."""
        return any(self.method_of(entry) == "dpdk" and entry.vdev is None for entry in self.interfaces)


def _validated(raw: Mapping[str, Any], host: str, prefix: str = "") -> CaptureConfig:
    try:
        return CaptureConfig.model_validate({"host": host, **raw})
    except ValidationError as error:
        sentences = problems.sentences(error, CaptureConfig, prefix)
        raise ConfigError(tuple(f"host {host}: {sentence}" for sentence in sentences)) from None


def load(path: Path) -> CaptureConfig:
    """Read and validate a settings file.

    Raises:
        ConfigError: with every problem of the file, or the one that kept it from being read.
    """
    try:
        raw = problems.read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(
            (f"{path}: cannot be read ({reason}); write it, or name another file with --config",)
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError((f"{path}: {problems.yaml_sentence(error)}",)) from None
    if not isinstance(raw, dict):
        raise ConfigError((f"{path}: holds no settings; write keys such as method: and interfaces:",))
    host = raw.get("host", "local")
    return _validated(raw, host if isinstance(host, str) else "local")


INVENTORY_PREFIX: Final = "capture_"
INVENTORY_VARIABLES: Final = tuple(
    INVENTORY_PREFIX + key for key in CaptureConfig.model_fields if key not in problems.NOT_IN_INVENTORY
)


def from_inventory(host: str, hostvars: Mapping[str, Any]) -> CaptureConfig:
    """Validate the `capture_*` variables of one inventory host; other variables are left alone.

    Raises:
        ConfigError: with every problem, each naming the host, the variable and what to write instead.
    """
    ours = {key: problems.plain(value) for key, value in hostvars.items() if key.startswith(INVENTORY_PREFIX)}
    known = {key.removeprefix(INVENTORY_PREFIX): value for key, value in ours.items()}
    reserved = problems.NOT_IN_INVENTORY & known.keys()
    if reserved:
        raise ConfigError(
            tuple(
                f"host {host}: {INVENTORY_PREFIX}{key}: is not a variable of the inventory; remove it"
                for key in sorted(reserved)
            )
        )
    return _validated(known, host, INVENTORY_PREFIX)


def check_fleet(addresses: Mapping[str, str], configs: Mapping[str, CaptureConfig]) -> None:
    """Check hosts of one play against each other: an address carries one appliance, so it has one set of settings.

    Args:
        addresses: of each host, where Ansible connects to (`ansible_host`, or the name where that is not set).
        configs: of each host, its settings.

    Raises:
        ConfigError: naming the hosts that are the same machine with different settings.
    """
    owners: dict[str, str] = {}
    conflicts = []
    for host, config in configs.items():
        owner = owners.setdefault(addresses[host], host)
        if config.model_copy(update={"host": owner}) != configs[owner]:
            conflicts.append(
                f"host {host}: is the same machine ({addresses[host]}) as host {owner} with other capture settings; "
                "keep one of the two in the inventory, or give both the same settings"
            )
    if conflicts:
        raise ConfigError(tuple(conflicts))


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the settings file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **CaptureConfig.model_json_schema()}
