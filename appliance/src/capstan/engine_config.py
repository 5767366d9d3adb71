"""From settings and facts of this host to engine.json: the plan of `capstan.planner` as the engine reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from capstan import advise, namespaces
from capstan.config import CaptureConfig, Interface
from capstan.host_plan import WITHOUT_NETDEV, HostPlan, PlannedPort
from capstan.links import Link, Network
from capstan.machine import Machine
from capstan.means import Means
from capstan.paths import Paths
from capstan.plan_problems import Problems
from capstan.planner_memory import pool_bytes

ENGINE_CONFIG_VERSION = 1
XDP_RING_MAX = 4096  # descriptors of an AF_XDP ring; more only adds latency
AF_PACKET_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Port:
    """A capture port with everything decided."""

    interface: str
    """What the engine opens: a network device, DAG card or virtual device; of dpdk's NICs the address; a label."""
    method: str
    queues: int
    cores: tuple[int, ...]
    link: Link | None
    """Its network device; None for a DAG card, a replay, and a NIC that a driver of user space has."""
    planned: PlannedPort
    channels: int | None = None
    """How many receive queues the NIC must have; None leaves them as they are."""

    @property
    def prepared(self) -> Link | None:
        """The network device whose settings are changed for the capture; dpdk sets up a NIC of its own itself."""
        return self.link if self.planned.through_netdev else None


@dataclass(frozen=True, slots=True)
class Plan:
    """The resolved settings of this host."""

    config: CaptureConfig
    host: HostPlan
    ports: tuple[Port, ...]

    @property
    def writers(self) -> tuple[int, ...]:
        """CPUs of the writer."""
        return self.host.writers

    @property
    def queues(self) -> int:
        """Receive queues of all ports."""
        return sum(port.queues for port in self.ports)

    @property
    def ring_bytes(self) -> int:
        """Kernel memory of all ports' rings."""
        return sum(port.planned.rings for port in self.ports)

    @property
    def pool_bytes(self) -> int:
        """Memory of the blocks of all queues."""
        return pool_bytes(self.config, self.queues)


def resolve(config: CaptureConfig, network: Network, machine: Machine, means: Means | None = None) -> Plan:
    """Decide everything that the settings leave to the host.

    Args:
        config: the settings.
        network: the interfaces of the network namespace that the settings name.
        machine: what the host is made of.
        means: what else it has, for ports whose method is auto.

    Raises:
        PlanError: one sentence a line for what the host does not have, or what the engine cannot do.

    """
    problems = Problems(config.host)
    host = advise.plan(config, machine, network, means or Means(prepares=False))
    ports = []
    for index, (planned, entry) in enumerate(zip(host.ports, config.interfaces, strict=True)):
        link = _link(planned, network)
        if planned.through_netdev and link is None:
            nic = machine.nic(planned.pci or "")
            driver = (nic.driver if nic else None) or "no driver"
            what, who = planned.interface or planned.pci, planned.vdev or planned.method
            problems.add(
                f"interfaces[{index}]",
                f"{what} is on {driver}, and {who} needs it on the driver of its network device; "
                "run playbooks/deploy.yml for this host, or write method: dpdk",
            )
        name = planned.vdev or (planned.pci if planned.method == "dpdk" else planned.interface)
        channels = planned.queues if _hears_channels(config, planned.method, entry) else None
        ports.append(Port(str(name), planned.method, planned.queues, planned.workers, link, planned, channels))
    problems.refuse()
    return Plan(config, host, tuple(ports))


def _hears_channels(config: CaptureConfig, method: str, entry: Interface) -> bool:
    """Whether each queue of the method hears one of the NIC's, so that there must be exactly as many of both."""
    if entry.device is not None:
        return entry.device.like == "af_xdp"
    return method == "af_xdp" or (method == "pf_ring" and config.pf_ring.spread == "channels")


def _link(planned: PlannedPort, network: Network) -> Link | None:
    """The port's network device: by its name, which tells the ports of one PCI address apart."""
    named = planned.interface if planned.method not in WITHOUT_NETDEV else None
    link = network.named(named) if named else None
    return link if link is not None and planned.pci in {None, link.pci} else None


def engine_json(plan: Plan, paths: Paths) -> dict[str, Any]:
    """The engine's settings file, complete: the engine keeps no default that an operator could wish to know."""
    config = plan.config
    output, buffers = config.output, config.buffers
    return {
        "version": ENGINE_CONFIG_VERSION,
        **({"netns": str(namespaces.path_of(config.netns))} if config.netns else {}),
        "user": config.user,
        "group": config.group,
        "ledger": str(paths.ledger),
        "control": {"path": str(paths.control), "mode": "0660", "group": config.group},
        "ports": [_port_json(config, port, entry) for port, entry in zip(plan.ports, config.interfaces, strict=True)],
        "output": {
            "directory": str(output.directory),
            "rotate_bytes": output.rotate_size,
            "rotate_seconds": output.rotate_seconds,
            "min_free_bytes": output.min_free,
            "direct_io": output.direct_io,
            "open_files": output.open_files,
        },
        "buffers": {
            "block_bytes": buffers.block_size,
            "blocks_per_queue": buffers.blocks_per_queue,
            "hugepages": buffers.hugepages,
            "stream_bytes": buffers.stream_size,
        },
        "writer": {"cores": list(plan.writers), "flush_ms": output.latency_ms},
        **({"targets": _targets_json(config, paths)} if config.has_targets else {}),
    }


def _targets_json(config: CaptureConfig, paths: Paths) -> dict[str, Any]:
    return {"directory": str(paths.targets), "streams": config.output.by_target}


def _port_json(config: CaptureConfig, port: Port, entry: Interface) -> dict[str, Any]:
    described: Mapping[str, Any] = {
        "interface": port.interface,
        "method": port.method,
        "queues": port.queues,
        "cores": list(port.cores),
        "snaplen": config.snaplen,
        "promiscuous": config.promiscuous,
        "filter": config.filter,
        "tunnels": list(entry.tunnels) or None,
        "options": options(config, port.method, entry),
    }
    return {key: value for key, value in described.items() if value is not None}


def options(config: CaptureConfig, method: str, entry: Interface | None = None) -> dict[str, Any]:
    """The options of a port, as the method takes them; `entry` has those that are the port's own."""
    match method:
        case "af_packet":
            ring = config.af_packet
            return {"ring_bytes": ring.ring_size, "block_bytes": AF_PACKET_BLOCK_BYTES, "fanout": ring.fanout}
        case "af_xdp":
            xdp = config.af_xdp
            return {"mode": xdp.mode, "frames": xdp.frames, "ring": min(XDP_RING_MAX, xdp.frames // 2)}
        case "pcap":
            return {"buffer_bytes": config.pcap.buffer_size}
        case "dpdk":
            dpdk = config.dpdk
            device = entry.device if entry is not None else None
            devargs = {"devargs": device.devargs} if device is not None and device.devargs else {}
            said = {name: getattr(dpdk, name) for name in ("descriptors", "idle", "huge", "interpolate")}
            return {**said, **devargs}
        case "pf_ring":
            ours = config.pf_ring
            library = {"library": str(ours.library)} if ours.library else {}
            shared = {"spread": ours.spread, "watermark": ours.watermark, "hardware_time": ours.hardware_time}
            return {**library, "zc": ours.zc, **shared}
        case "dag":
            card = config.dag
            streams = entry.streams if entry is not None else None
            asked = {"library": card.library, "drop_attribute": card.drop_attribute, "streams": streams}
            said = {key: value for key, value in asked.items() if value is not None}
            if card.library is not None:
                said["library"] = str(card.library)
            return {**said, "fcs": card.fcs, "idle": card.idle}
        case "replay" if config.replay is not None:
            replay = config.replay
            if replay.generate is not None:
                return {"generate": replay.generate.model_dump()}
            return {"file": str(replay.file), "loops": replay.loops, "pace": replay.pace, "fcs": replay.fcs}
        case _:
            return {}
