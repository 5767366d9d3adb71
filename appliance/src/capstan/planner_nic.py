"""What the NIC of each port is to be like, and who hears its interrupts."""

from __future__ import annotations

from typing import Final, Literal, TypeVar

from capstan.config import CaptureConfig
from capstan.host_plan import NicTuning, PollTuning
from capstan.nic import UNWANTED_FEATURES
from capstan.plan_problems import Problems
from capstan.planner_ports import BIFURCATED_DRIVERS, Found

KERNEL_METHODS: Final = frozenset({"pcap", "af_packet", "af_xdp", "pf_ring"})
"""Methods that capture through the kernel, from a network device."""

# Firmware of these eats LLDP frames before anyone sees them.
_FALSIFYING_FLAGS: Final = {"i40e": {"disable-fw-lldp": True}, "ice": {"fw-lldp-agent": False}}
# Its largest ring is 8160, and before Linux 6.3 it gives zero-copy sockets only to rings of a power of two.
_POWER_OF_TWO_FOR_XDP: Final = frozenset({"ice"})
# For "auto": two empty polls, 200 microseconds apart, as the kernel's documentation of NAPI suggests for busy polling.
_DEFER_HARD_IRQS: Final = 2
_FLUSH_TIMEOUT_NS: Final = 200_000


def driver_to_bind(config: CaptureConfig, found: Found) -> str | None:
    """Driver of user space for the NIC; None where it stays on its kernel driver."""
    if found.through != "dpdk" or found.nic is None or found.nic.kernel_driver in BIFURCATED_DRIVERS:
        return None
    return config.dpdk.driver


def tuning(config: CaptureConfig, found: Found, queues: int) -> NicTuning:
    """The NIC's settings; a port that the kernel does not capture from, or that is no NIC, is left as it is."""
    if found.through not in KERNEL_METHODS or not found.physical:
        return NicTuning()
    nic = config.nic
    on_pci = found.nic is not None
    spared = found.virtual_functions > 0
    flags = _FALSIFYING_FLAGS.get((found.nic.kernel_driver if found.nic else None) or "")
    return NicTuning(
        channels=_channels(found, queues) if on_pci else None,
        rx_ring=None if spared else _resolved(nic.rx_ring, _largest_ring(found)),
        offloads_off=UNWANTED_FEATURES if nic.offloads == "auto" else (),
        rss="symmetric" if nic.rss == "symmetric" and on_pci and queues > 1 else None,
        flow_director_off=nic.flow_director == "off",
        rx_usecs=_resolved(nic.rx_usecs, "adaptive"),
        mtu=None if spared else _resolved(nic.mtu, "max"),
        private_flags=None
        if nic.private_flags == "leave" or spared
        else flags
        if nic.private_flags == "auto"
        else nic.private_flags,
        promiscuous=True if config.promiscuous else None,
    )


def _channels(found: Found, queues: int) -> int | None:
    if found.virtual_functions:
        return queues if queues == found.queues_now else None
    return min(queues, found.queues_most or queues)


def _largest_ring(found: Found) -> int | Literal["max"]:
    nic = found.nic
    if found.through != "af_xdp" or nic is None or nic.rx_ring_max is None:
        return "max"
    return 1 << nic.rx_ring_max.bit_length() - 1 if nic.kernel_driver in _POWER_OF_TWO_FOR_XDP else "max"


def polling(config: CaptureConfig, found: Found) -> PollTuning:
    """How the kernel polls the port's queues."""
    if found.through not in {"af_packet", "af_xdp"}:
        return PollTuning()
    poll = config.busy_poll
    return PollTuning(
        napi_defer_hard_irqs=_resolved(poll.napi_defer_hard_irqs, _DEFER_HARD_IRQS),
        gro_flush_timeout=_resolved(poll.gro_flush_timeout, _FLUSH_TIMEOUT_NS),
        threaded=None if poll.threaded == "leave" else poll.threaded == "on",
    )


def check_virtual_functions(config: CaptureConfig, entries: list[Found], problems: Problems) -> None:
    """Refuse what would reset a NIC whose virtual functions are in use: somebody else's links go through it."""
    nic = config.nic
    for entry in entries:
        if not entry.virtual_functions or entry.nic is None or entry.through not in KERNEL_METHODS:
            continue
        would = f"interrupts the link of the {entry.virtual_functions} virtual functions in use of {entry.label}"
        other = f"write 0 into /sys/bus/pci/devices/{entry.nic.pci}/sriov_numvfs once nobody uses them"
        now, asked = entry.queues_now, entry.interface.queues
        if one_socket_a_queue(config, entry) and asked not in {"auto", now}:
            problems.add(
                f"{entry.key}.queues",
                f"is {asked} where the NIC has {now}, and to change that {would}; write {now}, or auto, or {other}",
            )
        if entry.device is not None and entry.through == "af_xdp":
            problems.add(
                f"{entry.key}.vdev",
                f"is {entry.device}, whose program goes into the NIC's driver, which {would}; write "
                f"net_af_packet0,iface={entry.device.netdev}, or {other}",
            )
        if entry.method == "af_xdp" and config.af_xdp.mode != "skb":
            key = f"{entry.key}.method" if entry.interface.method else "method"
            problems.add(
                key,
                f"is af_xdp, whose program goes into the NIC's driver, which {would}; write af_packet, or "
                f"af_xdp.mode: skb, or {other}",
            )
        written = {"nic.rx_ring": nic.rx_ring, "nic.mtu": nic.mtu, "nic.private_flags": nic.private_flags}
        defaults = {"nic.rx_ring": "auto", "nic.private_flags": "auto"}
        for key, value in written.items():
            if value not in ("leave", defaults.get(key)) and value != {}:
                problems.add(key, f"is {value}, and to change it {would}; write leave, or {other}")


def one_socket_a_queue(config: CaptureConfig, found: Found) -> bool:
    """Whether each queue of the NIC needs a socket of its own, so that there must be as many."""
    if found.device is not None:
        return found.through == "af_xdp"
    match found.method:
        case "af_packet":
            return config.af_packet.fanout == "queue"
        case "pf_ring":
            return config.pf_ring.spread == "channels"
        case method:
            return method == "af_xdp"


def interrupts(
    config: CaptureConfig, found: Found, channels: int | None, workers: tuple[int, ...]
) -> tuple[tuple[int, ...], ...] | None:
    """CPUs for the interrupt of each queue of the NIC: its worker's."""
    if found.virtual_functions:
        channels = found.queues_now
    if config.irq_affinity == "off" or found.through not in KERNEL_METHODS or found.nic is None or channels is None:
        return None
    return tuple((workers[queue % len(workers)],) for queue in range(channels))


_Auto = TypeVar("_Auto")


def _resolved(value: int | str, automatic: _Auto) -> int | _Auto | None:
    return None if value == "leave" else automatic if value == "auto" else int(value)
