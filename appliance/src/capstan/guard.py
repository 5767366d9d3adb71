"""What may never become a capture port: an interface that the host itself needs.

Everything here is a pure function over the facts of a network namespace.
"""

from __future__ import annotations

from collections.abc import Iterator

from capstan.links import Link, Network

_MASTER_KINDS = {"bond", "team", "bridge", "vrf", "openvswitch"}
_HYPER_V = "hv_netvsc"
_STACKED_KINDS = {"vlan", "macvlan", "macvtap", "ipvlan", "macsec"}


def refusals(network: Network, name: str) -> Iterator[str]:
    """Why the interface must not be used, a sentence each; nothing when it may be.

    An interface is also refused for what stands on top of it: the NIC below a VLAN that carries the default route.
    """
    link = network.named(name)
    if link is None:
        yield f"{name} does not exist; name an interface that `ip link` lists."
        return
    yield from _wrong_kind(link)
    above = next((other for other in network.links if other.index == link.master), None)
    if above is not None and above.driver == _HYPER_V:
        # The hypervisor pairs the two, and its driver takes the function back as often as it is let go.
        yield (
            f"{name} is bound to {above.name} by the Hyper-V host (accelerated networking), through which its packets "
            f"come too; name {above.name}."
        )
    elif link.master is not None:
        master = above.name if above is not None else f"interface {link.master}"
        yield f"{name} is a member of {master}; take it out of {master}, or name another interface."
    for used in (link, *_standing_on(network, link)):
        what = name if used is link else f"{name}, below {used.name},"
        if used.index in network.default_routes:
            yield f"{what} carries the default route, without which the host is cut off; name another interface."
        if used.index in network.controller_routes:
            yield f"{what} carries the route back to the controller; name another interface."
        if used.addresses:
            yield (
                f"{what} has the address {used.addresses[0]}, so the host uses it; "
                "remove the address if the interface is meant for capture, or name another one."
            )


def _wrong_kind(link: Link) -> Iterator[str]:
    if link.loopback:
        yield f"{link.name} is the loopback interface, which hears only this host; name a NIC's interface."
    elif not link.ethernet:
        yield f"{link.name} is not an Ethernet interface; name one that is."
    elif link.kind in _MASTER_KINDS:
        yield f"{link.name} is a {link.kind}; name the NICs that are to capture."
    elif link.kind in _STACKED_KINDS:
        yield f"{link.name} is a {link.kind} on another interface; name that interface, and filter if need be."


def _standing_on(network: Network, link: Link) -> Iterator[Link]:
    """The interfaces above: VLANs and the like on it, the bond or bridge that it is in, and what is on those."""
    seen = {link.index}
    pending = [link]
    while pending:
        below = pending.pop()
        for above in network.links:
            if above.index not in seen and (above.lower == below.index or above.index == below.master):
                seen.add(above.index)
                pending.append(above)
                yield above
