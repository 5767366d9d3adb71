"""Every mistake stops the deployment before anything is changed, with a sentence that names host, key and remedy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible_collections.capstan.appliance.plugins.module_utils import dist
from ansible_collections.capstan.appliance.plugins.plugin_utils import inventory_model

from conftest import Run, play, write_inventory

ETH1 = [{"name": "eth1"}]
SOME_ID = "01234567-89ab-cdef-0123-456789abcdef"

# host: (its variables, what the sentence must hold: key, and remedy)
IN_THE_INVENTORY: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown-key": (
        {"capture_interfaces": ETH1, "capture_metod": "pcap"},
        ["capture_metod", "did you mean 'capture_method'"],
    ),
    "unknown-inner-key": (
        {"capture_interfaces": ETH1, "capture_output": {"dir": "/srv"}},
        ["capture_output.dir", "write one of directory"],
    ),
    "unknown-method": (
        {"capture_interfaces": ETH1, "capture_method": "af_xpd"},
        ["capture_method", "did you mean 'af_xdp'", "write pcap, af_packet"],
    ),
    "interface-for-a-card": (
        {"capture_interfaces": ETH1, "capture_method": "dag"},
        ["capture_interfaces[0].name", "captures from a DAG card", "write /dev/dag0"],
    ),
    "stream-that-transmits": (
        {"capture_interfaces": [{"name": "/dev/dag0", "streams": [1]}], "capture_method": "dag"},
        ["capture_interfaces[0].streams", "odd streams transmit", "such as 0"],
    ),
    "library-by-a-relative-path": (
        {"capture_interfaces": ETH1, "capture_method": "pf_ring", "capture_pf_ring": {"library": "libpfring.so"}},
        ["capture_pf_ring.library", "is not absolute", "write '/libpfring.so'"],
    ),
    "zero-copy-in-a-cluster": (
        {"capture_interfaces": ETH1, "capture_method": "pf_ring", "capture_pf_ring": {"zc": True, "spread": "flow"}},
        ["capture_pf_ring.spread", "with zc the NIC alone spreads packets", "write channels"],
    ),
    "unquoted-pci": (
        {"capture_interfaces": [{"pci": 1140.1}]},
        ["capture_interfaces[0].pci", 'write pci: "0000:19:00.1"'],
    ),
    "no-interface": ({"capture_method": "pcap"}, ["capture_interfaces", "is missing; write it such as"]),
    "interface-twice": ({"capture_interfaces": [*ETH1, *ETH1]}, ["capture_interfaces[1]", "write each interface once"]),
    "queues-of-pcap": (
        {"capture_interfaces": [{"name": "eth1", "queues": 4}], "capture_method": "pcap"},
        ["capture_interfaces[0].queues", "write 1"],
    ),
    "filter-that-does-not-compile": (
        {"capture_interfaces": ETH1, "capture_filter": "tcp prot 80"},
        ["capture_filter", "does not compile", "write a pcap filter"],
    ),
    "target-with-host-bits": (
        {"capture_interfaces": ETH1, "capture_targets": [{"id": SOME_ID, "prefixes": ["198.51.100.77/24"]}]},
        ["capture_targets[0].prefixes", "write 198.51.100.0/24 for the network"],
    ),
    "target-that-ends-before-it-starts": (
        {
            "capture_interfaces": ETH1,
            "capture_targets": [
                {"id": SOME_ID, "vlans": [7], "start": "2026-12-02T00:00:00Z", "end": "2026-12-01T00:00:00Z"}
            ],
        },
        ["capture_targets[0]", "write a later end"],
    ),
    "target-twice": (
        {"capture_interfaces": ETH1, "capture_targets": [{"id": SOME_ID, "vlans": [7]}] * 2},
        ["capture_targets", SOME_ID, "give each target an id of its own"],
    ),
    "targets-in-two-places": (
        {"capture_interfaces": ETH1, "capture_targets": [], "capture_targets_file": "targets.yml"},
        ["capture_targets_file", "remove one of them"],
    ),
    "targets-file-that-is-not-there": (
        {"capture_interfaces": ETH1, "capture_targets_file": "/nowhere/targets.yml"},
        ["capture_targets_file", "/nowhere/targets.yml", "correct the path"],
    ),
    "unknown-tunnel": (
        {"capture_interfaces": [{"name": "eth1", "tunnels": ["gtpu"]}]},
        ["capture_interfaces[0].tunnels", "did you mean 'gtp_u'"],
    ),
    "vague-size": (
        {"capture_interfaces": ETH1, "capture_af_packet": {"ring_size": "64M"}},
        ["capture_af_packet.ring_size", "write 64MiB"],
    ),
    "undefined-variable": (
        {"capture_interfaces": ETH1, "capture_filter": "{{ nowhere }}"},
        ["capture_filter", "'nowhere' is undefined", "correct its template"],
    ),
    "twin-b": (
        {"capture_interfaces": ETH1, "capture_method": "pcap", "ansible_host": "192.0.2.9"},
        ["host twin-a", "keep one of the two"],
    ),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Run:
    hosts = {host: variables for host, (variables, _) in IN_THE_INVENTORY.items()}
    good = {"good": {"capture_interfaces": ETH1}, "twin-a": {"capture_interfaces": ETH1, "ansible_host": "192.0.2.9"}}
    # Nothing answers at these names: a host that were touched would be unreachable.
    folder = tmp_path_factory.mktemp("inventory")
    return play("deploy", write_inventory(folder, {**good, **hosts}))


@pytest.mark.parametrize("host", IN_THE_INVENTORY)
def test_a_mistake_in_the_inventory_is_told_in_one_sentence(refused: Run, host: str) -> None:
    told = [sentence for sentence in refused.sentences if sentence.startswith(f"host {host}: ")]
    assert len(told) == 1
    for fragment in IN_THE_INVENTORY[host][1]:
        assert fragment in told[0]


def test_no_host_is_touched_when_one_has_a_mistake(refused: Run) -> None:
    assert refused.rc != 0
    assert refused.count("unreachable") == 0
    assert refused.count("changed") == 0
    assert not [sentence for sentence in refused.sentences if sentence.startswith("host good: ")]


def test_a_controller_without_libpcap_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    with pytest.raises(AnsibleError, match=r"capture_filter can't be checked.*apt install libpcap0\.8"):
        inventory_model.filter_error("tcp")


def test_a_good_filter_compiles() -> None:
    assert inventory_model.filter_error("vlan 7 and (udp port 53 or net 2001:db8::/32)") is None


NETNS = f"capstan-ansible-{os.getpid()}"
CAP1 = {"capture_netns": NETNS, "capture_interfaces": [{"name": "cap1"}]}

# What only the host itself can know: every one of these is this machine, looked at in a namespace of the test's own.
ON_THE_HOST: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown-interface": (
        {**CAP1, "capture_interfaces": [{"name": "eth9"}]},
        ["capture_interfaces[0].name", "there is no interface eth9", "cap1"],
    ),
    "unknown-netns": ({**CAP1, "capture_netns": "nowhere"}, ["capture_netns", "ip netns add nowhere"]),
    "default-route": (
        {**CAP1, "capture_interfaces": [{"name": "up0"}]},
        ["capture_interfaces[0]", "carries the default route", "name another interface"],
    ),
    "default-route-of-another-table": (
        {**CAP1, "capture_interfaces": [{"name": "up1"}]},
        ["capture_interfaces[0]", "carries the default route", "name another interface"],
    ),
    "bridge-member": (
        {**CAP1, "capture_interfaces": [{"name": "port0"}]},
        ["capture_interfaces[0]", "member of br0", "name another interface"],
    ),
    "too-little-memory": (
        {**CAP1, "capture_buffers": {"block_size": "64MiB", "blocks_per_queue": 65536}},
        ["capture_buffers", "memory available", "write fewer queues"],
    ),
    "output-below-a-file": (
        {**CAP1, "capture_output": {"directory": "/etc/hostname/captures"}},
        ["capture_output.directory", "/etc/hostname is not a directory", "write another"],
    ),
    "output-read-only": (
        {**CAP1, "capture_output": {"directory": "/proc/captures"}},
        ["capture_output.directory", "/proc", "write"],
    ),
    "output-of-others": (
        {**CAP1, "capture_output": {"directory": "/usr"}},
        ["capture_output.directory", "holds files of others", "write an empty or a new directory"],
    ),
    "no-space": (
        {**CAP1, "capture_output": {"min_free": "900TiB"}},
        ["capture_output.min_free", "free some space"],
    ),
}


@pytest.fixture(scope="module")
def namespace(needs_root: None) -> Iterator[None]:
    commands = [
        ["link", "add", "cap1", "type", "veth", "peer", "name", "cap1-wire"],
        ["link", "add", "up0", "type", "veth", "peer", "name", "up0-wire"],
        ["link", "add", "up1", "type", "veth", "peer", "name", "up1-wire"],
        ["link", "add", "port0", "type", "veth", "peer", "name", "port0-wire"],
        ["link", "add", "br0", "type", "bridge"],
        ["link", "set", "port0", "master", "br0"],
        ["link", "set", "up0", "up"],
        ["link", "set", "up0-wire", "up"],
        ["link", "set", "up1", "up"],
        ["link", "set", "up1-wire", "up"],
        ["route", "add", "default", "dev", "up0"],
        ["-6", "route", "add", "default", "dev", "up1", "table", "100"],
    ]
    subprocess.run(["/bin/ip", "netns", "add", NETNS], check=True)
    try:
        for command in commands:
            subprocess.run(["/bin/ip", "-netns", NETNS, *command], check=True)
        yield
    finally:
        subprocess.run(["/bin/ip", "netns", "delete", NETNS], check=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dist folder that is whole, so that only the host can be at fault."""
    folder, manifest = tmp_path_factory.mktemp("dist"), dist.read(Path("/nowhere"))
    for part in ("engine", "packages", "wheelhouse"):
        (folder / part).mkdir()
        (folder / part / "anything-1.0-any.whl").write_text(part)
        manifest = dist.record(folder, manifest, part, "digest")
    (folder / dist.MANIFEST).write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def refused_by_host(namespace: None, built: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, bool]:
    hosts = {host: {**variables, "ansible_connection": "local"} for host, (variables, _) in ON_THE_HOST.items()}
    before = appliance_files()
    inventory = write_inventory(tmp_path_factory.mktemp("inventory"), hosts)
    run = play("deploy", inventory, "-e", f"appliance_dist={built}")
    return run, appliance_files() == before


def appliance_files() -> dict[str, float]:
    """What a deployment would have touched, with the times of change."""
    places = ["/etc/capstan", "/opt/capstan", "/usr/local/bin", "/var/lib/capstan", "/var/cache", "/etc/passwd"]
    return {place: Path(place).stat().st_mtime for place in places if Path(place).exists()}


@pytest.mark.parametrize("host", ON_THE_HOST)
def test_what_the_host_lacks_is_told_in_one_sentence(refused_by_host: tuple[Run, bool], host: str) -> None:
    told = [sentence for sentence in refused_by_host[0].sentences if sentence.startswith(f"host {host}: ")]
    assert len(told) == 1
    for fragment in ON_THE_HOST[host][1]:
        assert fragment in told[0]


def test_a_refused_host_is_left_as_it_was(refused_by_host: tuple[Run, bool]) -> None:
    run, unchanged = refused_by_host
    assert run.rc != 0
    assert run.count("changed") == 0
    assert unchanged


def damaged(folder: Path) -> str:
    (folder / "engine/anything-1.0-any.whl").write_text("another")
    return "is not the file that was built"


def unbuilt(folder: Path) -> str:
    (folder / dist.MANIFEST).unlink()
    return "run ansible-playbook playbooks/build.yml"


def without_the_methods_driver(folder: Path) -> str:
    assert "pf_ring" not in dist.read(folder)["parts"]
    return "capture_method: pf_ring needs the engine's driver for it"


@pytest.mark.parametrize(
    ("spoil", "settings"),
    [(damaged, {}), (unbuilt, {}), (without_the_methods_driver, {"capture_method": "pf_ring"})],
)
def test_nothing_is_changed_when_there_is_nothing_good_to_install(
    tmp_path: Path, built: Path, spoil: Callable[[Path], str], settings: dict[str, Any]
) -> None:
    folder = tmp_path / "dist"
    shutil.copytree(built, folder)
    sentence = spoil(folder)
    inventory = write_inventory(tmp_path, {"probe": {**CAP1, **settings, "ansible_connection": "local"}})
    run = play("deploy", inventory, "-e", f"appliance_dist={folder}")
    assert (run.rc != 0, run.count("changed")) == (True, 0)
    (told,) = run.sentences
    assert told.startswith("host probe: ")
    assert sentence in told
