"""The unit that the role appliance writes: it lets the engine reach what the host's methods need, and no more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import CHECKOUT, write_inventory

PLAY = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_vars: {checkout}/roles/appliance/vars/main.yml
    - ansible.builtin.template:
        src: {checkout}/roles/appliance/templates/capstan.service.j2
        dest: {folder}/{{{{ inventory_hostname }}}}.service
        mode: "0644"
"""
INTERFACES = {
    "plain": [{"name": "eth1"}],
    "ring": [{"name": "eth1", "method": "pf_ring"}],
    "cards": [{"name": "/dev/dag0", "method": "dag"}, {"name": "/dev/dag1", "method": "dag"}, {"name": "eth1"}],
    "dpdk": [{"pci": "0000:19:00.0", "method": "dpdk"}],
    "vdev": [{"vdev": "net_af_packet0,iface=eth1", "method": "dpdk"}],
    "tap": [{"vdev": "net_tap0", "method": "dpdk"}, {"name": "eth1"}],
}


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the units, one a host."""
    folder = tmp_path_factory.mktemp("units")
    book = folder / "play.yml"
    book.write_text(PLAY.format(checkout=CHECKOUT, folder=folder))
    hosts = {
        host: {"capture_method": "af_packet", "capture_interfaces": interfaces}
        for host, interfaces in INTERFACES.items()
    }
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", write_inventory(folder, hosts), book],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_HOME": str(folder / "ansible-home"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize(
    ("host", "private", "allowed"),
    [
        ("plain", "yes", []),
        ("ring", "yes", []),
        ("cards", "no", ["char-dag* rw", "/dev/dag0 rw", "/dev/dag1 rw"]),
        ("dpdk", "no", ["/dev/vfio/vfio rw", "char-vfio* rw", "char-uio rw"]),
        ("vdev", "yes", []),
        ("tap", "no", ["/dev/net/tun rw"]),
    ],
)
def test_only_the_devices_of_the_methods_are_let_through(
    units: Path, host: str, private: str, allowed: list[str]
) -> None:
    lines = (units / f"{host}.service").read_text().splitlines()
    # Besides what systemd always allows.
    assert "DevicePolicy=closed" in lines
    assert [line for line in lines if line.startswith("PrivateDevices=")] == [f"PrivateDevices={private}"]
    assert [line.partition("=")[2] for line in lines if line.startswith("DeviceAllow=")] == allowed
