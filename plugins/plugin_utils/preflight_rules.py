"""May this host capture as its settings ask? Pure functions over the facts that the module capture_facts collected.

The rules on ports, queues and CPUs are the appliance's own, called here on the controller: the supervisor applies the
same ones at every start, and a capture host needs nothing installed to be judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from capstan import guard
from capstan.config import CaptureConfig
from capstan.engine_config import XDP_FRAME_BYTES, Plan, resolve
from capstan.errors import UsageError
from capstan.links import Link, Network
from capstan.preflight import MEMORY_SHARE
from capstan.quantities import format_size
from capstan.topology import Cpus, parse_cpu_list

Facts = Mapping[str, Any]

_STACKED_KINDS = frozenset({"vlan", "macvlan", "macvtap", "ipvlan", "macsec"})
_SOCKETS_OF = {"pcap": "af_packet", "af_packet": "af_packet", "af_xdp": "af_xdp"}


def problems(config: CaptureConfig, facts: Facts) -> list[str]:
    """A sentence for each reason not to deploy, naming the host, the variable and what to do."""
    return [f"host {config.host}: {sentence}" for sentence in _problems(config, facts)]


def _problems(config: CaptureConfig, facts: Facts) -> Iterator[str]:
    if not facts["root"]:
        yield "become: capture ports can be opened by root alone; log in as root, or set ansible_become: true"
    yield from _kernel(config, facts["sockets"])
    yield from _output(config, facts["output"])
    if facts["network"] is None:
        yield (
            f"capture_netns: the network namespace {config.netns} does not exist; "
            f"make it with `ip netns add {config.netns}`, or write another name"
        )
        return
    network = network_of(facts["network"])
    try:
        plan = resolve(config, network, Cpus(tuple(facts["cpus"]), parse_cpu_list(facts["isolated"])))
    except UsageError as error:
        for line in str(error).splitlines():
            sentence = line.removeprefix(f"host {config.host}: ")
            yield "capture_" + re.sub(r"^(\w+\[\d+\]): (name|pci): ", r"\1.\2: ", sentence)
        return
    for index, port in enumerate(plan.ports):
        for sentence in guard.refusals(network, port.interface) if port.link else ():
            yield f"capture_interfaces[{index}]: {sentence.rstrip('.')}"
    yield from _memory(plan, facts["memory"], facts["engine"])


def network_of(raw: Facts) -> Network:
    """The appliance's view of a network, out of iproute2's JSON."""
    indexes = {link["ifname"]: link["ifindex"] for link in raw["links"]}
    addresses = {
        entry["ifname"]: tuple(
            f"{address['local']}/{address['prefixlen']}"
            for address in entry.get("addr_info", ())
            if address.get("scope") == "global" and "local" in address
        )
        for entry in raw["addresses"]
    }
    return Network(
        links=tuple(_link(link, raw, indexes, addresses.get(link["ifname"], ())) for link in raw["links"]),
        default_routes=_ways_out(raw["default_routes"], indexes),
        controller_routes=_ways_out(raw["controller_routes"], indexes),
    )


def _link(link: Facts, raw: Facts, indexes: Mapping[str, int], addresses: tuple[str, ...]) -> Link:
    name, kind = link["ifname"], link.get("linkinfo", {}).get("info_kind")
    return Link(
        name=name,
        index=link["ifindex"],
        kind=kind,
        ethernet=link["link_type"] == "ether",
        loopback="LOOPBACK" in link["flags"],
        up="UP" in link["flags"],
        master=indexes.get(link.get("master")),
        lower=indexes.get(link.get("link")) if kind in _STACKED_KINDS else None,
        pci=raw["pci"].get(name),
        rx_queues=raw["rx_queues"].get(name, 1),
        mtu=link["mtu"],
        addresses=addresses,
    )


def _ways_out(routes: list[Facts], indexes: Mapping[str, int]) -> frozenset[int]:
    hops = [hop for route in routes for hop in (route, *route.get("nexthops", ()))]
    return frozenset(indexes[hop["dev"]] for hop in hops if hop.get("dev") in indexes)


def _kernel(config: CaptureConfig, sockets: Mapping[str, str]) -> Iterator[str]:
    for method in config.methods:
        refusal = sockets.get(_SOCKETS_OF.get(method, ""), "")
        if refusal:
            yield (
                f"capture_method: {method} needs sockets that the kernel refuses ({refusal}); "
                "boot a kernel that has them, or write another method"
            )


def _memory(plan: Plan, memory: Mapping[str, int], engine: Facts | None) -> Iterator[str]:
    config = plan.config
    huge = memory.get("HugePages_Free", 0) * memory.get("Hugepagesize", 0)
    in_huge = config.buffers.hugepages != "off" and huge >= plan.pool_bytes
    # The pool of an engine that runs is in use already and will be again.
    if config.buffers.hugepages == "on" and not in_huge and engine is None:
        yield (
            f"capture_buffers.hugepages: is on, needs {format_size(plan.pool_bytes)} of hugepages and "
            f"{format_size(huge)} are free; reserve more in /proc/sys/vm/nr_hugepages, or write auto"
        )
    rings = sum(size for _, size in plan.ring_bytes())
    needed = rings + (0 if in_huge else plan.pool_bytes)
    available = memory["MemAvailable"] + (held_by(engine) if engine else 0)
    if needed > MEMORY_SHARE * available:
        yield (
            f"capture_buffers: {format_size(rings)} for rings and {format_size(plan.pool_bytes)} for blocks of "
            f"{plan.queues} queues do not fit into the {format_size(available)} of memory available; "
            "write fewer queues, smaller rings or fewer blocks_per_queue"
        )


def held_by(engine: Facts) -> int:
    """Memory of rings and blocks that a running engine gives back when it is restarted, from its settings file."""
    block = engine["buffers"]["block_bytes"] * engine["buffers"]["blocks_per_queue"]
    held = 0
    for port in engine["ports"]:
        options = port["options"]
        ring = options.get("ring_bytes") or options.get("buffer_bytes") or options.get("frames", 0) * XDP_FRAME_BYTES
        held += (ring + block) * port["queues"]
    return held


def _output(config: CaptureConfig, found: Facts) -> Iterator[str]:
    directory, key = str(config.output.directory), "capture_output.directory"
    exists = found["nearest"] == directory
    if not found["is_directory"]:
        yield f"{key}: {found['nearest']} is not a directory; remove it, or write another directory than {directory}"
    elif found["read_only"]:
        yield f"{key}: {found['nearest']} is on a read-only file system; write a directory on a writable one"
    elif not exists and not found["writable"]:
        yield f"{key}: {directory} can't be made, because {found['nearest']} takes no files; write another directory"
    elif exists and not found["writable"] and found["strangers"]:
        yield (
            f"{key}: {directory} holds files of others and the user {config.user} can't write into it; "
            f"write an empty or a new directory, or let {config.user} write there"
        )
    elif found["free"] + found["captures"] < config.output.min_free:
        yield (
            f"capture_output.min_free: {format_size(config.output.min_free)} are to stay free and {directory} has "
            f"{format_size(found['free'])}; free some space, or write a smaller min_free"
        )
