"""May this host capture as its settings ask? Pure functions over the facts that the module capture_facts collected.

The rules on ports, queues and CPUs are the appliance's own, called here on the controller: the supervisor applies the
same ones at every start, and a capture host needs nothing installed to be judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils import dist
from ansible_collections.capstan.appliance.plugins.plugin_utils.inventory_model import COLLECTION

from capstan import advise, guard
from capstan.advise_report import report
from capstan.config import CaptureConfig
from capstan.ethtool import Channels
from capstan.host_plan import WITHOUT_NETDEV, HostPlan
from capstan.links import Link, Network
from capstan.machine import Machine
from capstan.means import Means
from capstan.plan_problems import PlanError
from capstan.planner_memory import dpdk_ordinary_bytes
from capstan.planner_rings import XDP_FRAME_BYTES, device_ring_bytes, ring_bytes
from capstan.quantities import format_size
from capstan.virtual_devices import parse

Facts = Mapping[str, Any]

_STACKED_KINDS = frozenset({"vlan", "macvlan", "macvtap", "ipvlan", "macsec"})


def judge(
    config: CaptureConfig, facts: Facts, packages: Iterable[str], *, again: bool = False
) -> tuple[HostPlan | None, list[str]]:
    """The plan of the host, and a sentence for each reason not to carry it out, naming host, variable and remedy.

    There is no plan where the host cannot be what the settings ask.

    Args:
        config: the host's settings.
        facts: what capture_facts collected there.
        packages: methods whose packages the controller has for the host.
        again: choose methods anew, whatever `auto` came to before.

    """
    plan, sentences = _plan(config, facts, means_of(facts, packages, again=again))
    told = [*_access(config, facts), *sentences]
    return plan, [f"host {config.host}: {sentence}" for sentence in told]


def advice(config: CaptureConfig, facts: Facts, packages: Iterable[str], *, whole: bool) -> dict[str, Any]:
    """The advice for a host, as `capstan advise --json` gives it; or its `problem`.

    Args:
        config: the host's settings.
        facts: what capture_facts collected there.
        packages: methods whose packages the controller has for the host.
        whole: judge every NIC, in place of the settings' ports.

    """
    if facts["network"] is None:
        return {"host": config.host, "problem": _no_namespace(config)}
    machine, means = Machine.from_json(facts["machine"]), means_of(facts, packages)
    return report(config, machine, network_of(facts["network"]), means, whole=whole)


def _no_namespace(config: CaptureConfig) -> str:
    return (
        f"capture_netns: the network namespace {config.netns} does not exist; "
        f"make it with `ip netns add {config.netns}`, or write another name"
    )


def _access(config: CaptureConfig, facts: Facts) -> Iterator[str]:
    if not facts["root"]:
        yield "become: capture ports can be opened by root alone; log in as root, or set ansible_become: true"
    yield from _kernel(config, facts["means"]["refused"])
    yield from _output(config, facts["output"])


def packages_for(distribution: str, folder: Path = COLLECTION / "dist") -> frozenset[str]:
    """The methods whose packages build.yml made for a distribution such as debian-12."""
    return frozenset(dist.read(folder / distribution)["parts"]) if distribution else frozenset()


def means_of(facts: Facts, packages: Iterable[str], *, again: bool = False) -> Means:
    """What the host has besides its NICs, for the methods that `auto` may choose from."""
    return Means.from_json(facts["means"], packages=packages, again=again)


def _plan(config: CaptureConfig, facts: Facts, means: Means) -> tuple[HostPlan | None, list[str]]:
    if facts["network"] is None:
        return None, [_no_namespace(config)]
    network, engine = network_of(facts["network"]), facts["engine"]
    try:
        machine = Machine.from_json(facts["machine"])
        plan = advise.plan(config, machine, network, means, held_by(engine, config, network) if engine else 0)
    except PlanError as error:
        return None, [f"capture_{key}: {sentence}" for key, sentence in error.problems]
    return plan, [
        f"capture_interfaces[{index}]: {sentence.rstrip('.')}"
        for index, port in enumerate(plan.ports)
        # A NIC that a driver of user space has was looked at before it was bound.
        if port.method not in WITHOUT_NETDEV
        and port.interface is not None
        and network.named(port.interface) is not None
        for sentence in guard.refusals(network, port.interface)
    ]


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
        master=indexes.get(link.get("master", "")),
        lower=indexes.get(link.get("link", "")) if kind in _STACKED_KINDS else None,
        pci=raw["pci"].get(name),
        driver=raw["drivers"].get(name),
        wireless=name in raw["wireless"],
        xdp=raw["xdp"].get(name),
        mac=link.get("address"),
        channels=Channels(**raw["channels"][name]) if name in raw["channels"] else None,
        rx_queues=raw["rx_queues"].get(name) or 1,
        mtu=link["mtu"],
        speed=raw["speeds"].get(name),
        addresses=addresses,
    )


def _ways_out(routes: list[Facts], indexes: Mapping[str, int]) -> frozenset[int]:
    hops = [hop for route in routes for hop in (route, *route.get("nexthops", ()))]
    return frozenset(indexes[hop["dev"]] for hop in hops if hop.get("dev") in indexes)


def _kernel(config: CaptureConfig, refused: Mapping[str, str]) -> Iterator[str]:
    for method in config.socket_methods:
        refusal = refused.get(method)
        if refusal:
            yield (
                f"capture_method: {method} needs sockets that the kernel refuses ({refusal}); "
                "boot a kernel that has them, or write another method"
            )


def held_by(engine: Facts, config: CaptureConfig, network: Network) -> int:
    """Memory of rings and blocks that a running engine gives back when it is restarted, from its settings file.

    The slots of PF_RING's rings belong to its module: they are taken to be those that `config` asks for.
    """
    buffers = engine["buffers"]
    dpdk = [port for port in engine["ports"] if port.get("method") == "dpdk"]
    huge = all(port["options"].get("huge", True) for port in dpdk)
    # What is in hugepages stays reserved, and is none of the memory that is available.
    in_huge = buffers.get("hugepages") == "on" or (buffers.get("hugepages") == "auto" and bool(dpdk) and huge)
    block = 0 if in_huge else buffers["block_bytes"] * buffers["blocks_per_queue"]
    held = 0 if huge else dpdk_ordinary_bytes(dpdk[0]["options"]["descriptors"], sum(port["queues"] for port in dpdk))
    for port in engine["ports"]:
        options = port["options"]
        ring = options.get("ring_bytes") or options.get("buffer_bytes") or options.get("frames", 0) * XDP_FRAME_BYTES
        if "devargs" in options:
            device = parse(f"{port['interface']},{options['devargs']}")
            below = network.named(device.netdev or "")
            mtu = below.mtu if below is not None else 0
            rings = device_ring_bytes(device, options["descriptors"], mtu, port["queues"])
        else:
            rings = ring * port["queues"] or ring_bytes(config, port["method"], port["queues"])
        held += rings + block * port["queues"]
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
