"""From settings and facts of this host to engine.json: interfaces by name, queues and cores as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from capstan import namespaces
from capstan.config import CaptureConfig, Interface
from capstan.errors import UsageError
from capstan.links import Link, Network
from capstan.paths import Paths
from capstan.topology import Cpus, Placement, numa_node, place

ENGINE_CONFIG_VERSION = 1
XDP_RING_MAX = 4096  # descriptors of an AF_XDP ring; more only adds latency
XDP_FRAME_BYTES = 4096  # one page: what the kernel's UMEM takes without multi-buffer
AF_PACKET_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Port:
    """A capture port with everything decided."""

    interface: str
    method: str
    queues: int
    cores: tuple[int, ...]
    link: Link | None
    """None for the method replay, which has no interface."""

    @property
    def channels(self) -> int | None:
        """How many receive queues the NIC must have; None leaves them as they are.

        An AF_XDP socket hears one queue, so that there must be exactly as many queues as sockets.
        """
        return self.queues if self.method == "af_xdp" else None


@dataclass(frozen=True, slots=True)
class Plan:
    """The resolved settings of this host."""

    config: CaptureConfig
    ports: tuple[Port, ...]
    writers: tuple[int, ...]

    @property
    def queues(self) -> int:
        """Receive queues of all ports."""
        return sum(port.queues for port in self.ports)

    def ring_bytes(self) -> Iterator[tuple[Port, int]]:
        """Kernel memory of each port's rings."""
        for port in self.ports:
            match port.method:
                case "af_packet":
                    yield port, self.config.af_packet.ring_size * port.queues
                case "af_xdp":
                    yield port, self.config.af_xdp.frames * XDP_FRAME_BYTES * port.queues
                case "pcap":
                    yield port, self.config.pcap.buffer_size * port.queues
                case _:
                    yield port, 0

    @property
    def pool_bytes(self) -> int:
        """Memory of the blocks of all queues."""
        return self.config.buffers.block_size * self.config.buffers.blocks_per_queue * self.queues


def resolve(config: CaptureConfig, network: Network, cpus: Cpus) -> Plan:
    """Decide everything that the settings leave to the host.

    Raises:
        UsageError: one sentence a line for what the host does not have.

    """
    problems: list[str] = []
    links: list[Link | None] = []
    for index, interface in enumerate(config.interfaces):
        key = f"host {config.host}: interfaces[{index}]"
        try:
            links.append(_find(config, interface, network))
        except LookupError as error:
            problems.append(f"{key}: {error.args[0]}")
            links.append(None)
    found = [link.name for link in links if link is not None]
    problems += [
        f"host {config.host}: interfaces: {name} is listed by its name and by its PCI address; write it once"
        for name in sorted({name for name in found if found.count(name) > 1})
    ]
    absent = [] if config.cores == "auto" else [cpu for cpu in config.cores if cpu not in cpus.allowed]
    if absent:
        problems.append(
            f"host {config.host}: cores: CPU {', '.join(map(str, absent))} cannot be used here; "
            f"write CPUs out of {', '.join(map(str, cpus.allowed))}, or auto"
        )
    if problems:
        raise UsageError("\n".join(problems))

    near = {node for link in links if link and link.pci and (node := numa_node(link.pci)) is not None}
    placement = place(cpus, None if config.cores == "auto" else config.cores, near)
    counts = _queues(config, links, placement)
    ports, start = [], 0
    for interface, link, count in zip(config.interfaces, links, counts, strict=True):
        workers = placement.workers
        cores = tuple(workers[(start + step) % len(workers)] for step in range(min(count, len(workers))))
        name = link.name if link else str(interface.name)
        ports.append(Port(name, config.method_of(interface), count, cores, link))
        start += count
    return Plan(config, tuple(ports), placement.writers)


def _find(config: CaptureConfig, interface: Interface, network: Network) -> Link | None:
    if config.method_of(interface) == "replay":
        return None
    where = f" in the network namespace {config.netns}" if config.netns else ""
    others = ", ".join(link.name for link in network.links if link.ethernet) or "none"
    if interface.pci is not None:
        at_pci = network.at_pci(interface.pci)
        if len(at_pci) > 1:
            names = ", ".join(link.name for link in at_pci)
            raise LookupError(f"pci: {interface.pci} has several interfaces ({names}); write name: instead of pci:")
        if not at_pci:
            raise LookupError(f"pci: no interface{where} belongs to {interface.pci}; here are {others}")
        return at_pci[0]
    link = network.named(str(interface.name))
    if link is None:
        raise LookupError(f"name: there is no interface {interface.name}{where}; here are {others}")
    return link


def _queues(config: CaptureConfig, links: Sequence[Link | None], placement: Placement) -> list[int]:
    """Queues of each port: as asked, or the NIC's channels as far as its share of the worker CPUs goes."""
    open_ports = [interface for interface in config.interfaces if interface.queues == "auto"]
    share = max(1, len(placement.workers) // max(1, len(open_ports)))
    counts = []
    for interface, link in zip(config.interfaces, links, strict=True):
        if interface.queues != "auto":
            counts.append(interface.queues)
        elif link is None or config.method_of(interface) == "pcap":
            counts.append(1)
        else:
            channels = link.channels.receive if link.channels else link.rx_queues
            # A veth with fewer receive queues than its peer sends on loses native XDP (ENOSPC): all of them, then.
            keep_all = config.method_of(interface) == "af_xdp" and link.kind == "veth"
            counts.append(channels if keep_all else max(1, min(channels, share)))
    return counts


def engine_json(plan: Plan, paths: Paths) -> dict[str, Any]:
    """The engine's settings file, complete: the engine keeps no default that an operator could wish to know."""
    config = plan.config
    output, buffers = config.output, config.buffers
    return {
        "version": ENGINE_CONFIG_VERSION,
        "instance": "capstan",
        **({"netns": str(namespaces.path_of(config.netns))} if config.netns else {}),
        "user": config.user,
        "group": config.group,
        "ledger": str(paths.ledger),
        "control": {"path": str(paths.control), "mode": "0660", "group": config.group},
        "ports": [_port_json(config, port) for port in plan.ports],
        "output": {
            "directory": str(output.directory),
            "rotate_bytes": output.rotate_size,
            "rotate_seconds": output.rotate_seconds,
            "min_free_bytes": output.min_free,
            "direct_io": output.direct_io,
        },
        "buffers": {
            "block_bytes": buffers.block_size,
            "blocks_per_queue": buffers.blocks_per_queue,
            "hugepages": buffers.hugepages,
        },
        "writer": {"cores": list(plan.writers)},
    }


def _port_json(config: CaptureConfig, port: Port) -> dict[str, Any]:
    described: Mapping[str, Any] = {
        "interface": port.interface,
        "method": port.method,
        "queues": port.queues,
        "cores": list(port.cores),
        "snaplen": config.snaplen,
        "promiscuous": config.promiscuous,
        "filter": config.filter,
        "options": _options(config, port.method),
    }
    return {key: value for key, value in described.items() if value is not None}


def _options(config: CaptureConfig, method: str) -> dict[str, Any]:
    match method:
        case "af_packet":
            ring = config.af_packet
            return {"ring_bytes": ring.ring_size, "block_bytes": AF_PACKET_BLOCK_BYTES, "fanout": ring.fanout}
        case "af_xdp":
            xdp = config.af_xdp
            return {"mode": xdp.mode, "frames": xdp.frames, "ring": min(XDP_RING_MAX, xdp.frames // 2)}
        case "pcap":
            return {"buffer_bytes": config.pcap.buffer_size}
        case "replay" if config.replay is not None:
            replay = config.replay
            if replay.generate is not None:
                return {"generate": replay.generate.model_dump()}
            return {"file": str(replay.file), "loops": replay.loops, "pace": replay.pace}
        case _:
            return {}


def cores_in_use(plan: Plan) -> tuple[int, ...]:
    """CPUs of the workers, each once."""
    return tuple(sorted(set(chain.from_iterable(port.cores for port in plan.ports))))
