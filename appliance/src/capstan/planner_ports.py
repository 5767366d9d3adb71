"""Which NIC of this machine each entry of the settings' interfaces means, and how many queues it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from capstan.config import CaptureConfig, Interface
from capstan.links import Link, Network
from capstan.machine import SPARES_VIRTUAL_FUNCTIONS, Card, Machine, Nic
from capstan.plan_problems import Problems
from capstan.virtual_devices import VirtualDevice
from capstan.xdp_drivers import HALF_FOR_SENDING

# These drivers give DPDK the NIC and keep its network device: nothing is bound.
BIFURCATED_DRIVERS = frozenset({"mlx4_core", "mlx5_core"})

# Intel's 82598, 82599 and X540 have more queues than the 16 that an entry of four bits in their RSS table can name; the
# driver fills the others by flow director, which a capture does without (ixgbe_max_rss_indices of Linux). Those of
# X550 and later name 64.
_RSS_OF_FOUR_BITS = frozenset(
    f"8086:{device}"
    for device in (
        *("10b6", "10c6", "10c7", "10c8", "10db", "10dd", "10e1", "10ec", "10f1", "10f4", "1508", "150b"),
        *("10f7", "10f8", "10f9", "10fb", "10fc", "1507", "1514", "1517", "151c", "1529", "152a", "154a", "154d"),
        *("154f", "1557", "1558", "155d"),
        *("1528", "155c", "1560"),
    )
)


@dataclass(frozen=True, slots=True)
class Found:
    """What one entry of the settings' interfaces is on this machine."""

    key: str
    """Of the entry, such as interfaces[0]."""
    interface: Interface
    method: str
    name: str | None
    """Name that the kernel gives it, or gave it before it was bound."""
    link: Link | None = None
    """Its network device; None where it has none at the moment, and for a replay."""
    nic: Nic | None = None
    """None where it is no NIC on the PCI bus."""
    card: Card | None = None
    """The DAG card that it is, instead of a NIC."""

    @property
    def device(self) -> VirtualDevice | None:
        """The virtual device of DPDK that it is; name, link and NIC are then those of the network device below."""
        return self.interface.device

    @property
    def through(self) -> str:
        """The method by whose sockets its packets leave the kernel: its own, or the one that its device is like."""
        device = self.device
        return device.like if device is not None and device.like is not None else self.method

    @property
    def label(self) -> str:
        """What a person calls it."""
        device = self.device.name if self.device is not None else None
        return device or self.name or (self.nic.pci if self.nic else "")

    @property
    def node(self) -> int | None:
        """NUMA node of the NIC or card; None where nobody tells."""
        place = self.nic or self.card
        return place.node if place is not None else None

    @property
    def mac(self) -> str | None:
        """Its MAC address, where one can be read or is remembered."""
        return (self.link.mac if self.link else None) or (self.nic.mac if self.nic else None)

    @property
    def physical(self) -> bool:
        """Whether it is a NIC and no virtual interface such as a veth."""
        return self.nic is not None or (self.link is not None and self.link.kind is None)

    @property
    def queues_asked(self) -> int | None:
        """Receive queues that the settings ask for; None where they leave it to the host."""
        if self.interface.queues != "auto":
            return self.interface.queues
        return self.device.queues if self.device is not None else None

    @property
    def queues_now(self) -> int:
        """Receive queues that there are now."""
        if self.link is not None:
            return self.link.channels.receive if self.link.channels else self.link.rx_queues
        return (self.nic.rx_queues if self.nic else None) or 1

    @property
    def queues_most(self) -> int | None:
        """Receive queues that it can have; None where nobody can tell, because it was bound by somebody else."""
        if self.link is not None and self.link.channels is not None:
            return self.link.channels.max_receive
        if self.nic is not None and self.nic.rx_queues_max is not None:
            return self.nic.rx_queues_max
        return self.link.rx_queues if self.link is not None else None

    @property
    def queues_reached(self) -> int | None:
        """Of those, the queues that RSS can give packets to."""
        most = self.queues_most
        if most is None or self.nic is None or self.nic.model not in _RSS_OF_FOUR_BITS:
            return most
        return min(most, 1 << 4)

    @property
    def queues_native(self) -> int | None:
        """Receive queues with which the driver takes a native XDP program; None where it does with any number."""
        driver = (self.nic.kernel_driver if self.nic else None) or (self.link.driver if self.link else None)
        return queues_native(driver, self.link, self.nic)

    @property
    def virtual_functions(self) -> int:
        """Virtual functions in use, whose link is interrupted when the driver resets the NIC; 0 where it never does."""
        if self.nic is None or self.nic.kernel_driver in SPARES_VIRTUAL_FUNCTIONS:
            return 0
        return self.nic.virtual_functions


def queues_native(driver: str | None, link: Link | None, nic: Nic | None) -> int | None:
    """Receive queues with which a driver takes a native XDP program; None where it does with any number."""
    if driver not in HALF_FOR_SENDING:
        return None
    channels = link.channels if link is not None else None
    if channels is not None:
        return max(channels.max_tx, channels.max_combined) // 2
    most = nic.rx_queues_max if nic is not None else None
    return None if most is None else most // 2


def find_all(
    config: CaptureConfig, machine: Machine, network: Network, problems: Problems, methods: Sequence[str]
) -> list[Found]:
    """Find each entry; `problems` takes a sentence for each that is not there, or not what it should be.

    Args:
        config: the settings.
        machine: the facts.
        network: the interfaces that there are.
        problems: takes the sentences.
        methods: of each entry.

    """
    found = []
    for index, (interface, method) in enumerate(zip(config.interfaces, methods, strict=True)):
        key = f"interfaces[{index}]"
        entry = Found(key, interface, method, interface.name)
        if method == "dag":
            card = machine.card(str(interface.name))
            if card is None:
                problems.add(f"{key}.name", _no_card(str(interface.name), machine))
                continue
            entry = replace(entry, card=card)
        elif method != "replay" and not _is_over_nothing(interface):
            looked = _Search(config, machine, network, problems).find(entry)
            if looked is None:
                continue
            entry = looked
            for wrong_key, sentence in _mismatches(entry, machine):
                problems.add(f"{key}.{wrong_key}", sentence)
        taken = _taken(interface, network)
        if taken is not None:
            problems.add(f"{key}.vdev", taken)
        found.append(entry)
    _same_twice(found, problems)
    return found


def _is_over_nothing(interface: Interface) -> bool:
    """Whether it is a virtual device without a network device of the kernel."""
    device = interface.device
    return device is not None and device.netdev is None


def _taken(interface: Interface, network: Network) -> str | None:
    """Why a virtual device cannot make its network device; one of its kind may be its own, of a capture that runs."""
    device = interface.device
    there = network.named(device.makes) if device is not None and device.makes is not None else None
    if device is None or there is None or there.kind == "tun":
        return None
    return (
        f"is {device}, which makes an interface {there.name}, and there is one already; write iface= with a name that "
        f"nobody has, or net_af_packet0,iface={there.name} to capture from that one"
    )


def _asked_name(interface: Interface) -> str | None:
    """Name of the network device that an entry asks for."""
    device = interface.device
    return device.netdev if device is not None else interface.name


def _asked_key(interface: Interface) -> str:
    """By which key an entry asks for it."""
    return "vdev" if interface.vdev is not None else "pci" if interface.pci is not None else "name"


def _no_card(name: str, machine: Machine) -> str:
    here = ", ".join(f"/dev/{card.name}" for card in machine.cards) or "none"
    return f"there is no DAG card /dev/{name}; load the vendor's kernel module, or write another card; here are {here}"


def locate(
    config: CaptureConfig, machine: Machine, network: Network, interface: Interface
) -> tuple[Nic | None, Link | None]:
    """NIC and network device that an entry means, whatever its method; None for what is not there."""
    return _Search(config, machine, network, Problems(config.host)).locate(interface)


@dataclass(frozen=True, slots=True)
class _Search:
    config: CaptureConfig
    machine: Machine
    network: Network
    problems: Problems

    def locate(self, interface: Interface) -> tuple[Nic | None, Link | None]:
        nic, link = self._nic(interface), self._link(interface)
        if link is not None and nic is None and link.pci:
            nic = self.machine.nic(link.pci)
        return nic, link

    def find(self, entry: Found) -> Found | None:
        nic, link = self.locate(entry.interface)
        problem = self._one_of_several(entry, nic, link) or self._absent(entry, nic, link)
        problem = problem or self._unfit(entry, nic, link)
        if problem is not None:
            self.problems.add(f"{entry.key}.{problem[0]}", problem[1])
            return None
        name = link.name if link else (nic.interface if nic else None)
        return Found(entry.key, entry.interface, entry.method, name or _asked_name(entry.interface), link, nic)

    def _nic(self, interface: Interface) -> Nic | None:
        if interface.pci is not None:
            return self.machine.nic(interface.pci)
        if self.config.netns is not None:
            return None  # a name in another network namespace is no name of the host's own
        name = _asked_name(interface)
        return next((nic for nic in self.machine.nics if name in (nic.interface, *nic.interfaces)), None)

    def _link(self, interface: Interface) -> Link | None:
        if interface.pci is None:
            return self.network.named(str(_asked_name(interface)))
        links = self.network.at_pci(interface.pci)
        return next((link for link in links if link.name == interface.name), links[0] if links else None)

    def _one_of_several(self, entry: Found, nic: Nic | None, link: Link | None) -> tuple[str, str] | None:
        """DPDK is told a PCI address, whose first port it would take whichever is meant."""
        pci = nic.pci if nic else link.pci if link else None
        if entry.through != "dpdk" or pci is None:
            return None
        links = [known.name for known in self.network.at_pci(pci)]
        names = list(dict.fromkeys((*links, *(nic.interfaces if nic else ()))))
        if len(names) <= 1:
            return None
        meant = entry.interface.name if entry.interface.name in names else f"one of {', '.join(names)}"
        return _asked_key(entry.interface), (
            f"{pci} has several ports ({', '.join(names)}), and dpdk, which knows them by that address alone, takes "
            f"the first whichever is meant; write method: af_packet, or af_xdp, and name: {meant}"
        )

    def _absent(self, entry: Found, nic: Nic | None, link: Link | None) -> tuple[str, str] | None:
        where = f" in the network namespace {self.config.netns}" if self.config.netns else ""
        pci = entry.interface.pci
        if pci is None:
            if link is None and nic is None:
                wanted = entry.interface
                sentence = f"there is no interface {_asked_name(wanted)}{where}; here are {self._interfaces()}"
                return _asked_key(wanted), sentence
            return None
        links = [known.name for known in self.network.at_pci(pci)]
        if len(links) > 1 and entry.interface.name not in links:
            return "pci", f"{pci} has several interfaces ({', '.join(links)}); write one of them as name: beside it"
        if link is not None or nic is not None:
            return None
        kind = dict(self.machine.other_devices).get(pci)
        what = f"{pci} is no NIC, but a device of PCI class {kind}" if kind else f"there is no NIC at {pci}{where}"
        return "pci", f"{what}; this host has {self._nics()}"

    def _unfit(self, entry: Found, nic: Nic | None, link: Link | None) -> tuple[str, str] | None:
        key = _asked_key(entry.interface)
        if entry.through == "dpdk":
            if nic is None:
                sentence = f"{entry.interface.identity} is not on the PCI bus, and dpdk takes NICs that are"
                return key, f"{sentence}; write method: af_packet, or one of {self._nics()}"
            if link is None and nic.driver is not None and not nic.in_user_space and nic.interface is None:
                sentence = (
                    f"{nic.pci} has no network device here ({nic.driver} has it), so that nobody can tell its use"
                )
                return key, f"{sentence}; take it back from its network namespace or virtual machine"
            return None
        if link is not None or nic is None or nic.remembered:
            return None
        where = f"in the network namespace {self.config.netns}" if self.config.netns else "on this host"
        return key, (
            f"no interface {where} belongs to {nic.pci} (its driver is {nic.driver or 'none'}); give it back to the "
            f"driver of its network device, or write method: dpdk; here are {self._interfaces()}"
        )

    def _interfaces(self) -> str:
        return ", ".join(link.name for link in self.network.links if link.ethernet) or "none"

    def _nics(self) -> str:
        named = (f"{nic.pci} ({nic.interface or nic.driver or nic.model})" for nic in self.machine.nics)
        return ", ".join(named) or "none"


def _mismatches(entry: Found, machine: Machine) -> Iterator[tuple[str, str]]:
    """(key, sentence) for each cross-check that fails."""
    wanted = entry.interface
    if wanted.pci is not None and wanted.name is not None and entry.name not in {None, wanted.name}:
        meant = next((nic.pci for nic in machine.nics if nic.interface == wanted.name), None)
        other = f', or pci: "{meant}" if {wanted.name} is meant' if meant else ""
        yield "name", f"is {wanted.name}, and the NIC at {wanted.pci} is {entry.name}; write name: {entry.name}{other}"
    if wanted.mac is not None and entry.mac is not None and entry.mac != wanted.mac:
        meant = next((nic.pci for nic in machine.nics if nic.mac == wanted.mac), None)
        other = f'pci: "{meant}", which has that address' if meant else "name the NIC that is meant"
        yield "mac", f'is {wanted.mac}, and {entry.label} has {entry.mac}; write mac: "{entry.mac}", or {other}'


def _same_twice(found: list[Found], problems: Problems) -> None:
    first: dict[object, Found] = {}
    for entry in found:
        if entry.method == "replay" or _is_over_nothing(entry.interface):
            continue
        # Cards with several ports at one address have a name for each.
        identity = entry.name or (entry.nic.pci if entry.nic else None)
        earlier = first.setdefault(identity, entry)
        if earlier is not entry:
            problems.add(entry.key, _listed_twice(entry, earlier))


def _listed_twice(entry: Found, earlier: Found) -> str:
    if entry.device is None and earlier.device is None:
        return f"{entry.label} is listed by its name and by its PCI address, here and as {earlier.key}; write it once"
    return f"{entry.label} captures from {entry.name}, as {earlier.label} ({earlier.key}) does; remove one of the two"


def check_queues(config: CaptureConfig, found: list[Found], problems: Problems) -> None:
    """Refuse more queues than a NIC has."""
    for entry in found:
        asked, most = entry.queues_asked, entry.queues_most
        if asked is None or most is None or asked <= most or entry.method == "replay":
            continue
        # The kernel spreads a single queue over several sockets, and a veth has no queues worth the name.
        spread = entry.through == "af_packet" and (entry.device is not None or config.af_packet.fanout != "queue")
        if spread and (most == 1 or not entry.physical):
            continue
        if entry.method == "pf_ring" and config.pf_ring.spread != "channels":
            continue
        problems.add(
            f"{entry.key}.queues",
            f"is {asked}, and {entry.label} has at most {most} receive queues; write {most}, or auto",
        )
