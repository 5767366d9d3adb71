"""The guard: an interface that the host needs is refused, whatever the settings say."""

from dataclasses import replace

import pytest

from capstan.guard import refusals
from capstan.links import Link, Network

ETH0 = Link("eth0", 1, addresses=("192.0.2.2/24",))
ETH1 = Link("eth1", 2)


def told(network: Network, name: str = "eth1") -> str:
    return " ".join(refusals(network, name))


def test_a_free_interface_is_accepted() -> None:
    assert told(Network((ETH0, ETH1), frozenset({1}), frozenset({1}))) == ""


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (Network((ETH0,)), "eth1 does not exist"),
        (Network((ETH1,), default_routes=frozenset({2})), "carries the default route"),
        (Network((ETH1,), controller_routes=frozenset({2})), "carries the route back to the controller"),
        (Network((replace(ETH1, addresses=("2001:db8::1/64",)),)), "has the address 2001:db8::1/64"),
        (Network((Link("bond0", 7, kind="bond"), replace(ETH1, master=7))), "is a member of bond0"),
        (Network((Link("br0", 7, kind="bridge"), replace(ETH1, master=7))), "is a member of br0"),
        (
            Network((Link("eth0", 7, driver="hv_netvsc"), replace(ETH1, driver="mlx5_core", master=7))),
            "eth1 is bound to eth0 by the Hyper-V host (accelerated networking), through which its packets come too; "
            "name eth0.",
        ),
        (Network((replace(ETH1, kind="bridge"),)), "eth1 is a bridge; name the NICs"),
        (Network((replace(ETH1, kind="vlan"),)), "eth1 is a vlan on another interface"),
        (Network((replace(ETH1, ethernet=False),)), "is not an Ethernet interface"),
        (Network((replace(ETH1, ethernet=False, loopback=True),)), "is the loopback interface"),
    ],
)
def test_a_needed_or_wrong_interface_is_refused(network: Network, sentence: str) -> None:
    assert sentence in told(network)


def test_the_nic_below_a_vlan_that_carries_the_default_route_is_refused() -> None:
    vlan = Link("eth1.10", 9, kind="vlan", lower=2, addresses=("198.51.100.1/24",))
    assert "eth1, below eth1.10, carries the default route" in told(Network((ETH1, vlan), frozenset({9})))
    assert "eth1, below eth1.10, has the address" in told(Network((ETH1, vlan)))


def test_the_member_of_a_bridge_below_a_vlan_is_found_through_both() -> None:
    bridge = Link("br0", 7, kind="bridge")
    vlan = Link("br0.5", 8, kind="vlan", lower=7)
    network = Network((bridge, vlan, replace(ETH1, master=7)), frozenset({8}))
    assert "eth1, below br0.5, carries the default route" in told(network)
