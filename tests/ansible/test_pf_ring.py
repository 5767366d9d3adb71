"""PF_RING: judged before anything is changed, built for the kernel that boots next, kept off hugepages, taken back."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import vendor_packages
from ansible_collections.capstan.appliance.plugins.action import pf_ring_files
from ansible_collections.capstan.appliance.plugins.module_utils.host import pf_ring
from ansible_collections.capstan.appliance.plugins.module_utils.host.boot_kernel import boot_kernel
from ansible_collections.capstan.appliance.plugins.module_utils.host.kernel_module import dkms_status
from ansible_collections.capstan.appliance.plugins.module_utils.host.pf_ring import Wanted
from ansible_collections.capstan.appliance.plugins.module_utils.host.pf_ring_steps import PfRing
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, Record
from ansible_collections.capstan.appliance.plugins.modules.repository_packages import to_be_installed
from vendor_host import KERNEL, NEWER, FakeHost, add_kernel, plain_host

from conftest import CHECKOUT, Run, play, write_inventory

MAC = "3c:fd:fe:9e:7f:70"
LICENCE = "/etc/pf_ring/3CFDFE9E7F70"


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The vendor's packages."""
    folder = tmp_path_factory.mktemp("vendor")
    return {
        "library": vendor_packages.library(folder),
        "source": vendor_packages.source(folder),
        "prebuilt": vendor_packages.prebuilt(folder, KERNEL),
    }


def wanted(*packages: Path, **others: Any) -> Wanted:
    files = tuple(pf_ring_files.described([str(package) for package in packages]))
    return Wanted(**{"interfaces": ("ens3f0",), "slots": 65536, "files": files, **others})


def deploy(fake: FakeHost, asked: Wanted, *packages: Path) -> Any:
    """The role's order: settings, packages, module."""
    steps = PfRing(fake.host, check=False)
    steps.ready(asked)
    for package in packages:
        fake.install(package)
    return steps.present(asked, pending=bool(packages))


def roll_back(fake: FakeHost, *packages: Path) -> Any:
    steps = PfRing(fake.host, check=False)
    steps.unloaded()
    for package in packages:
        fake.purge(package)
    return steps.absent()


def sentences(fake: FakeHost, asked: Wanted) -> list[str]:
    before = fake.snapshot()
    with pytest.raises(HostError) as refused:
        PfRing(fake.host, check=False).ready(asked)
    assert fake.snapshot() == before
    return str(refused.value).splitlines()


# The way there and back


def test_the_module_is_built_loaded_and_read_back(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    outcome = deploy(fake, wanted(*packages), *packages)
    assert outcome.changed
    assert (outcome.facts["version"], outcome.facts["kernel"]) == ("8.9.0", KERNEL)
    assert outcome.facts["library"] == "/usr/lib/libpfring.so.8"
    assert outcome.reboot_reasons == []
    assert outcome.notes == []
    loaded = pf_ring.info(tmp_path)
    assert loaded is not None
    assert loaded.parameters == {"min_num_slots": "65536", "enable_tx_capture": "0"}
    assert f"dkms install -m pfring -v {vendor_packages.VERSION} -k {KERNEL}" in fake.calls


def test_a_second_run_changes_nothing(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    deploy(fake, wanted(*packages), *packages)
    before = fake.snapshot()
    steps = PfRing(fake.host, check=False)
    assert not steps.ready(wanted(*packages)).changed
    assert not steps.present(wanted(*packages), pending=False).changed
    assert fake.snapshot() == before


def test_a_rollback_leaves_the_host_as_it_was(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    before = fake.snapshot()
    deploy(fake, wanted(*packages, zc=True, licences={MAC: "licence"}), *packages)
    assert (tmp_path / LICENCE[1:]).read_text() == "licence"
    fake.write("/var/lib/dkms/mok.pub", "DKMS's key\n")
    fake.write("/var/log/ntop-systemd.log", "pf_ringctl start called\n")
    (tmp_path / "usr/sbin/dkms").unlink()
    del before["usr/sbin/dkms"]
    outcome = roll_back(fake, *reversed(packages))
    after = fake.snapshot()
    # Folders above the record stay: nothing tells whether somebody else counts on them by now.
    assert {path for path in after.keys() - before.keys() if path not in {"var", "var/lib", "var/log"}} == set()
    assert {path for path in before if after.get(path) != before[path]} == set()
    assert outcome.changed
    assert Record("pf_ring", tmp_path).read() is None
    assert not PfRing(fake.host, check=False).absent().changed


def test_check_mode_tells_the_same_and_writes_nothing(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    before = fake.snapshot()
    checks = PfRing(fake.host, check=True)
    would = checks.ready(wanted(*packages))
    assert checks.present(wanted(*packages), pending=True).changed
    assert fake.snapshot() == before
    did = PfRing(fake.host, check=False).ready(wanted(*packages))
    assert (would.before, would.after) == (did.before, did.after)
    for package in packages:
        fake.install(package)
    PfRing(fake.host, check=False).present(wanted(*packages), pending=True)
    before = fake.snapshot()
    assert checks.unloaded().changed
    assert checks.absent().changed
    assert fake.snapshot() == before


def test_pf_ring_that_was_there_before_stays_with_its_own_settings(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake = plain_host(tmp_path)
    for package in (vendor["library"], vendor["source"]):
        fake.install(package)
    fake.run(["dkms", "install", "-m", "pfring", "-v", vendor_packages.VERSION, "-k", KERNEL])
    fake.write("/etc/pf_ring/pf_ring.conf", "min_num_slots=8192 quick_mode=1\n")
    fake.write("/etc/pf_ring/interfaces.conf", 'MANAGEMENT_INTERFACES="eth0"')
    fake.load(8192, tx=True)
    before = fake.snapshot()
    deploy(fake, wanted())
    assert (tmp_path / "etc/pf_ring/pf_ring.conf").read_text() == (
        "min_num_slots=65536 enable_tx_capture=0 quick_mode=1\n"
    )
    assert 'MANAGEMENT_INTERFACES="eth0"\n' in (tmp_path / "etc/pf_ring/interfaces.conf").read_text()
    outcome = roll_back(fake)
    after = fake.snapshot()
    assert {path for path in before if after.get(path) != before[path]} == set()
    assert outcome.notes == []
    assert pf_ring.info(tmp_path).parameters == {"min_num_slots": "8192", "enable_tx_capture": "1"}


def test_dkms_keeps_its_key_while_it_stays_for_other_modules(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    deploy(fake, wanted(*packages), *packages)
    fake.write("/var/lib/dkms/mok.key", "key\n")
    roll_back(fake, *packages)
    assert (tmp_path / "var/lib/dkms/mok.key").exists()


def test_a_package_that_was_older_before_is_told_at_the_rollback(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    fake.packages["pfring"] = "8.8.0"
    deploy(fake, wanted(*packages), *packages)
    (note,) = roll_back(fake).notes
    assert note.startswith(f"pfring was 8.8.0 and is {vendor_packages.VERSION}; install pfring=8.8.0")


def test_what_is_no_longer_wanted_is_restored(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    deploy(fake, wanted(*packages, zc=True, licences={MAC: "licence"}), *packages)
    outcome = PfRing(fake.host, check=False).ready(wanted(*packages))
    assert outcome.before == [LICENCE]
    assert not (tmp_path / LICENCE[1:]).exists()
    assert f"file {LICENCE}" not in Record("pf_ring", tmp_path).read()


def test_a_reset_before_the_first_change_is_undone_from_the_record(
    tmp_path: Path, vendor: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = plain_host(tmp_path)
    before = fake.snapshot()

    def reset(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            "ansible_collections.capstan.appliance.plugins.module_utils.host.pf_ring_steps.durable_write", reset
        )
        with pytest.raises(KeyboardInterrupt):
            PfRing(fake.host, check=False).ready(wanted(vendor["library"], vendor["source"]))
    assert Record("pf_ring", tmp_path).read()["file /etc/pf_ring/pf_ring.conf"] is None
    roll_back(fake)
    assert fake.snapshot().keys() - before.keys() <= {"var", "var/lib"}


# Off the hugepages


def test_the_vendors_service_loads_the_module_and_does_nothing_else(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    PfRing(fake.host, check=False).ready(wanted(*packages))
    # Before a package script can start the service.
    lines = (tmp_path / pf_ring.DROP_IN.lstrip("/")).read_text().splitlines()
    assert lines[-3:] == ["ExecStart=", "ExecStart=-/sbin/modprobe pf_ring", "ExecStop="]
    assert "systemctl daemon-reload" in fake.calls
    assert (tmp_path / "etc/modules-load.d/capstan-pf_ring.conf").read_text() == "pf_ring\n"


def test_pf_ringctl_by_hand_neither_takes_nor_frees_hugepages(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake = plain_host(tmp_path)
    fake.write("/etc/pf_ring/interfaces.conf", 'CAPTURE_INTERFACES="eth7"\nDO_NOT_LOAD_HUGEPAGES=0\n')
    fake.write("/etc/pf_ring/hugepages.conf", "node=0 hugepagenumber=512\n")
    PfRing(fake.host, check=False).ready(wanted(vendor["library"], vendor["source"]))
    # As the vendor's script reads the file, and decides by.
    script = (
        f". {tmp_path}/etc/pf_ring/interfaces.conf; [ -f $HUGEPAGES_CONFIG ] && echo load; "
        'echo "$DO_NOT_LOAD_HUGEPAGES $CAPTURE_INTERFACES"'
    )
    read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert read.stdout == "1 ens3f0\n"


# The kernel that will run

GRUB = """\
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
else
   set default="{default}"
fi
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-7f' {{
	linux /boot/vmlinuz-{newer} root=UUID=7f
}}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-7f' {{
	menuentry 'Debian GNU/Linux, with Linux {newer}' $menuentry_id_option 'gnulinux-{newer}-advanced-7f' {{
		linux /boot/vmlinuz-{newer} root=UUID=7f
	}}
	menuentry 'Debian GNU/Linux, with Linux {older}' $menuentry_id_option 'gnulinux-{older}-advanced-7f' {{
		linux /boot/vmlinuz-{older} root=UUID=7f
	}}
}}
"""
OLDEST = "6.1.0-9-amd64"


@pytest.mark.parametrize(
    ("default", "environment", "kernel"),
    [
        ("0", "", NEWER),
        ("1>1", "", OLDEST),
        (f"gnulinux-advanced-7f>gnulinux-{OLDEST}-advanced-7f", "", OLDEST),
        ("${saved_entry}", f"saved_entry=gnulinux-advanced-7f>gnulinux-{OLDEST}-advanced-7f\n", OLDEST),
        ("7", "", NEWER),
    ],
)
def test_the_kernel_that_boots_next_is_grubs_default(
    tmp_path: Path, default: str, environment: str, kernel: str
) -> None:
    fake = plain_host(tmp_path, OLDEST)
    add_kernel(fake, NEWER)
    fake.write("/boot/grub/grub.cfg", GRUB.format(default=default, newer=NEWER, older=OLDEST))
    fake.write("/boot/grub/grubenv", f"# GRUB Environment Block\n{environment}####\n")
    assert boot_kernel(tmp_path, OLDEST).release == kernel


def test_without_grub_the_newest_kernel_boots_and_in_a_container_the_running_one(tmp_path: Path) -> None:
    assert boot_kernel(tmp_path, KERNEL).release == KERNEL
    add_kernel(FakeHost(tmp_path), OLDEST)
    add_kernel(FakeHost(tmp_path), NEWER)
    assert boot_kernel(tmp_path, KERNEL).release == NEWER


def test_the_module_is_built_for_the_kernel_that_boots_next_too(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    add_kernel(fake, NEWER)
    outcome = deploy(fake, wanted(*packages), *packages)
    assert outcome.facts["kernel"] == NEWER
    assert outcome.reboot_reasons == []
    for kernel in (KERNEL, NEWER):
        assert (tmp_path / f"lib/modules/{kernel}/updates/dkms/pf_ring.ko").exists()


def test_a_running_kernel_without_headers_needs_a_reboot(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    fake.remove(f"/lib/modules/{KERNEL}/build/Makefile")
    add_kernel(fake, NEWER)
    (reason,) = deploy(fake, wanted(*packages), *packages).reboot_reasons
    assert reason["essential"]
    assert NEWER in reason["reason"]
    assert pf_ring.info(tmp_path) is None


def test_a_package_with_the_module_for_that_kernel_needs_no_compiler(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["prebuilt"])
    for program in ("/usr/bin/gcc", "/usr/bin/make", "/usr/sbin/dkms", f"/lib/modules/{KERNEL}/build/Makefile"):
        fake.remove(program)
    outcome = deploy(fake, wanted(*packages), *packages)
    assert outcome.facts["version"] == "8.9.0"
    # The package's own scripts may not have called depmod, without which modprobe finds nothing.
    assert "updates/pf_ring.ko:" in (tmp_path / f"lib/modules/{KERNEL}/modules.dep").read_text()
    roll_back(fake, *packages)
    assert "pf_ring" not in (tmp_path / f"lib/modules/{KERNEL}/modules.dep").read_text()


@pytest.mark.parametrize(
    ("line", "version", "kernel", "state"),
    [
        ("pfring/8.9.0, 6.1.0-40-amd64, x86_64: installed", "8.9.0", KERNEL, "installed"),
        ("pfring, 7.8.0, 6.1.0-40-amd64, x86_64: built", "7.8.0", KERNEL, "built"),
        ("pfring/8.9.0: added", "8.9.0", None, "added"),
        (
            "pfring/8.9.0, 6.1.0-40-amd64, x86_64: installed (WARNING! Diff between built and installed module!)",
            "8.9.0",
            KERNEL,
            "installed",
        ),
    ],
)
def test_dkms_of_any_age_is_understood(line: str, version: str, kernel: str | None, state: str) -> None:
    (built,) = dkms_status(line)
    assert (built.name, built.version, built.kernel, built.state) == ("pfring", version, kernel, state)


# What goes wrong on the host


def test_missing_headers_are_told_by_their_package(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake = plain_host(tmp_path)
    add_kernel(fake, NEWER, headers=False)
    (sentence,) = sentences(fake, wanted(vendor["library"], vendor["source"]))
    assert f"install linux-headers-{NEWER}" in sentence


def test_a_host_without_a_compiler_is_told_what_it_may_take_instead(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake = plain_host(tmp_path)
    fake.remove("/usr/bin/gcc")
    (sentence,) = sentences(fake, wanted(vendor["library"], vendor["source"]))
    assert "no gcc" in sentence
    assert f"pf_ring.ko for the kernel {KERNEL}" in sentence


def test_a_module_for_another_kernel_is_refused(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake = plain_host(tmp_path, NEWER)
    (sentence,) = sentences(fake, wanted(vendor["library"], vendor["prebuilt"]))
    assert f"the kernel {KERNEL} and the host boots {NEWER} next" in sentence


def test_packages_of_another_architecture_are_refused(tmp_path: Path, vendor: dict[str, Path]) -> None:
    foreign = vendor_packages.library(tmp_path, architecture="arm64")
    (sentence,) = sentences(plain_host(tmp_path / "host"), wanted(foreign, vendor["source"]))
    assert sentence.startswith("capture_pf_ring.packages[0]: pfring is built for arm64 and this host is amd64")


def test_nothing_to_install_from_is_told_with_both_ways_out(tmp_path: Path) -> None:
    module, library = sentences(plain_host(tmp_path), wanted())
    assert "add pfring-dkms" in module
    assert "capture_pf_ring.repository" in module
    assert "add the vendor's package pfring" in library


def fails_to_build(fake: FakeHost) -> str:
    fake.broken["dkms install"] = "Error! Bad return status for module build on kernel\n"
    return "DKMS can't build pfring"


def fails_to_load(fake: FakeHost) -> str:
    fake.broken["modprobe"] = "modprobe: ERROR: could not insert 'pf_ring': Invalid argument"
    return "pf_ring can't be loaded: modprobe: ERROR: could not insert 'pf_ring': Invalid argument"


def is_of_another_kernel(fake: FakeHost) -> str:
    fake.built_for = OLDEST
    return f"is built for the kernel {OLDEST} and not for {KERNEL}"


def is_unsigned_under_secure_boot(fake: FakeHost) -> str:
    fake.write("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    return "is not signed; enrol DKMS's key with mokutil --import /var/lib/dkms/mok.pub"


@pytest.mark.parametrize("spoil", [fails_to_build, fails_to_load, is_of_another_kernel, is_unsigned_under_secure_boot])
def test_a_module_that_does_not_come_up_is_an_error(
    tmp_path: Path, vendor: dict[str, Path], spoil: Callable[[FakeHost], str]
) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    expected = spoil(fake)
    with pytest.raises(HostError) as failed:
        deploy(fake, wanted(*packages), *packages)
    assert expected in str(failed.value)


def test_an_old_library_is_an_error(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    asked = wanted(*packages)
    PfRing(fake.host, check=False).ready(asked)
    fake.install(vendor["source"])
    fake.write("/usr/lib/libpfring.so.7", "")
    with pytest.raises(HostError, match=r"libpfring\.so\.8 or later is in none of the loader's folders"):
        PfRing(fake.host, check=False).present(asked, pending=True)


def test_a_library_that_the_inventory_names_is_the_one(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    asked = wanted(*packages, library="/opt/pfring/libpfring.so")
    with pytest.raises(HostError, match=r"capture_pf_ring\.library: /opt/pfring/libpfring\.so is not on the host"):
        deploy(fake, asked, *packages)
    fake.write("/opt/pfring/libpfring.so", "")
    present = PfRing(fake.host, check=False).present(asked, pending=False)
    assert present.facts["library"] == "/opt/pfring/libpfring.so"
    assert sentences(plain_host(tmp_path / "other"), wanted(library="/opt/x.so"))[1].endswith(
        "add the vendor's package pfring"
    )


def test_a_signed_module_loads_under_lockdown_with_a_hint(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    fake.write("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    fake.signer = "DKMS module signing key\n"
    (note,) = PfRing(fake.host, check=False).ready(wanted(*packages)).notes
    assert note.startswith("the kernel is locked down (integrity)")
    assert "mokutil" in note
    assert deploy(fake, wanted(*packages), *packages).facts["version"] == "8.9.0"


def test_open_rings_are_not_torn_down(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    deploy(fake, wanted(*packages), *packages)
    fake.load(4096, rings=2)
    (reason,) = PfRing(fake.host, check=False).present(wanted(*packages), pending=False).reboot_reasons
    assert "2 rings are open" in reason["reason"]
    assert not reason["essential"]
    with pytest.raises(HostError, match="2 rings are open; stop the programs"):
        PfRing(fake.host, check=False).unloaded()


def test_zero_copy_is_reported_port_by_port(tmp_path: Path, vendor: dict[str, Path]) -> None:
    fake, packages = plain_host(tmp_path), (vendor["library"], vendor["source"])
    fake.write("/sys/class/net/ens3f0/address", f"{MAC}\n")
    driver = tmp_path / "sys/class/net/ens3f0/device/driver"
    driver.mkdir(parents=True)
    (driver / "module").symlink_to("../../../../module/ixgbe")
    asked = wanted(*packages, zc=True, licences={MAC: "licence"})
    outcome = deploy(fake, asked, *packages)
    assert "add the vendor's package ixgbe-zc-dkms" in outcome.notes[0]
    fake.write(f"/lib/modules/{KERNEL}/updates/dkms/ixgbe_zc.ko", "")
    (port,) = PfRing(fake.host, check=False).present(asked, pending=False).facts["zero_copy"]
    assert (port["driver"], port["available"], port["in_use"]) == ("ixgbe", True, False)
    (driver / "module").unlink()
    (driver / "module").symlink_to("../../../../module/ixgbe_zc")
    (port,) = PfRing(fake.host, check=False).present(asked, pending=False).facts["zero_copy"]
    assert (port["in_use"], port["missing"]) == (True, [])


# The vendor's repository

LINE = "deb [arch=amd64] https://packages.example.net/apt bookworm main"


def test_a_repository_is_written_with_its_key_and_forgotten_with_its_lists(tmp_path: Path) -> None:
    fake = plain_host(tmp_path)
    for program in ("/usr/bin/gcc", "/usr/sbin/dkms"):
        fake.remove(program)  # apt brings them
    line = pf_ring_files.signed_line(LINE)
    assert line == f"deb [arch=amd64 signed-by={pf_ring.KEY}] https://packages.example.net/apt bookworm main"
    asked = wanted(repository=line, repository_key="KEY\n")
    before = fake.snapshot()
    PfRing(fake.host, check=False).ready(asked)
    assert (tmp_path / pf_ring.SOURCE.lstrip("/")).read_text() == f"{line}\n"
    fake.write("/var/lib/apt/lists/packages.example.net_apt_dists_bookworm_InRelease", "")
    fake.write("/var/lib/apt/lists/deb.debian.org_debian_dists_bookworm_InRelease", "")
    PfRing(fake.host, check=False).absent()
    new = {path for path in fake.snapshot().keys() - before.keys() if Path(tmp_path, path).is_file()}
    assert new == {"var/lib/apt/lists/deb.debian.org_debian_dists_bookworm_InRelease"}


def test_what_apt_is_going_to_install_is_known_with_its_dependencies() -> None:
    shown = (
        "Reading package lists...\nInst dkms (3.0.10 Debian:12)\nInst pfring-dkms (8.9.0 ntop)\nConf dkms (3.0.10)\n"
    )
    assert to_be_installed(shown) == ["dkms", "pfring-dkms"]


def test_a_binary_key_becomes_text_that_any_openpgp_program_reads(tmp_path: Path) -> None:
    binary = b"\x99" + bytes(range(200))
    (tmp_path / "key.gpg").write_bytes(binary)
    text = pf_ring_files.armoured(str(tmp_path / "key.gpg"))
    lines = text.splitlines()
    assert lines[:2] == ["-----BEGIN PGP PUBLIC KEY BLOCK-----", ""]
    # RFC 4880's check sum over the octets "123456789".
    assert pf_ring_files.crc24(b"123456789") == 0x21CF02
    (tmp_path / "key.asc").write_text(text)
    assert pf_ring_files.armoured(str(tmp_path / "key.asc")) == text


# The role


PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: capstan.appliance.pf_ring
        tasks_from: "{{ entry }}"
"""
PORT = {"interface": "ens3f0", "pci": "0000:03:00.0", "mac": MAC, "method": "pf_ring"}
OTHER = {**PORT, "interface": "ens3f1", "mac": "3c:fd:fe:9e:7f:71"}


def run_role(folder: Path, entry: str, hosts: dict[str, Any], *arguments: str) -> Run:
    """Each host's settings of PF_RING, its ports, and what else it has."""
    (folder / "play.yml").write_text(PLAYBOOK)
    plans = {
        host: {
            "ansible_connection": "local",
            "capture_method": "pf_ring",
            "capture_interfaces": [{"name": "ens3f0"}],
            "capture_plan": {"ports": [PORT], "records": []},
            **variables,
        }
        for host, variables in hosts.items()
    }
    name = os.path.relpath(folder / "play", CHECKOUT / "playbooks")
    return play(name, write_inventory(folder, plans), "-e", f"entry={entry}", *arguments)


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """Of each host its settings, and what the sentence must hold."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "text.deb").write_text("no package\n")
    (folder / "licence").write_text("licence\n")
    (folder / "key").write_bytes(b"\x99\x01")
    (folder / "licences").mkdir()
    two = {"capture_plan": {"ports": [PORT, OTHER], "records": []}}
    return {
        "missing-file": (
            {"capture_pf_ring": {"packages": [f"{folder}/pfring.deb"]}},
            ["capture_pf_ring.packages[0]", "pfring.deb is not on the controller", "correct the path"],
        ),
        "no-package": (
            {"capture_pf_ring": {"packages": [f"{folder}/text.deb"]}},
            ["capture_pf_ring.packages[0]", "not a package for Debian", "name the vendor's .deb"],
        ),
        "repository-without-key": (
            {"capture_pf_ring": {"repository": LINE}},
            ["capture_pf_ring.repository_key", "is missing", "write the path of the vendor's key"],
        ),
        "repository-that-is-no-line": (
            {"capture_pf_ring": {"repository": "https://packages.example.net/apt", "repository_key": f"{folder}/key"}},
            ["capture_pf_ring.repository:", "write a line as in sources.list"],
        ),
        "key-that-is-none": (
            {"capture_pf_ring": {"repository": LINE, "repository_key": f"{folder}/licence"}},
            ["capture_pf_ring.repository_key", "is no OpenPGP key", "fetch the vendor's key"],
        ),
        "zc-without-licence": (
            {"capture_pf_ring": {"zc": True}},
            ["capture_pf_ring.licence", "is missing", "or zc: false"],
        ),
        "one-licence-for-two": (
            {"capture_pf_ring": {"zc": True, "licence": f"{folder}/licence"}, **two},
            ["capture_pf_ring.licence", "one licence for 2 NICs", OTHER["mac"]],
        ),
        "no-licence-of-that-nic": (
            {"capture_pf_ring": {"zc": True, "licence": f"{folder}/licences"}},
            ["capture_pf_ring.licence", f"holds no file {MAC}", "add that NIC's licence"],
        ),
        "in-a-namespace": (
            {"capture_netns": "lab"},
            ["capture_netns", "host's own network namespace", "write another method"],
        ),
    }


@pytest.fixture(scope="module")
def refused(
    mistakes: dict[str, tuple[dict[str, Any], list[str]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    folder = tmp_path_factory.mktemp("role")
    hosts = {host: variables for host, (variables, _) in mistakes.items()}
    if os.geteuid() == 0:  # this one passes on the controller, and is looked at
        kernel = boot_kernel(Path("/"), os.uname().release).release
        packages = [vendor_packages.library(folder, architecture="riscv64"), vendor_packages.prebuilt(folder, kernel)]
        hosts["foreign"] = {"capture_pf_ring": {"packages": [str(package) for package in packages]}}
    return run_role(folder, "assert", hosts)


def test_every_mistake_in_the_inventory_is_told_in_one_sentence(
    refused: Run, mistakes: dict[str, tuple[dict[str, Any], list[str]]]
) -> None:
    for host, (_, fragments) in mistakes.items():
        (told,) = [sentence for sentence in refused.sentences if sentence.startswith(f"host {host}: ")]
        assert [fragment for fragment in fragments if fragment not in told] == []
    assert refused.count("changed") == 0


def test_the_host_is_judged_before_anything_is_changed(needs_root: None, refused: Run) -> None:
    (told,) = refused.sentences_of("foreign")
    assert told.startswith("capture_pf_ring.packages[0]: pfring is built for riscv64 and this host is")
    assert refused.count("changed") == 0


PLACES = ["/etc/pf_ring", "/etc/modprobe.d", "/var/lib/dpkg/status", "/var/lib/capstan-host/pf_ring.json"]


def times_of_change() -> dict[str, int]:
    """Of what the role would write on this machine."""
    return {place: Path(place).stat().st_mtime_ns for place in PLACES if Path(place).exists()}


@pytest.fixture(scope="module")
def dry(needs_root: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, bool]:
    """The whole role in check mode, and whether it left everything alone."""
    folder = tmp_path_factory.mktemp("dry")
    kernel = boot_kernel(Path("/"), os.uname().release).release
    packages = [vendor_packages.library(folder), vendor_packages.prebuilt(folder, kernel)]
    hosts = {
        "with": {"capture_pf_ring": {"packages": [str(package) for package in packages]}},
        "without": {
            "capture_method": "af_packet",
            "capture_plan": {"ports": [{**PORT, "method": "af_packet"}], "records": ["nic_driver"]},
        },
    }
    before = times_of_change()
    run = run_role(folder, "main", hosts, "--check", "--diff")
    return run, times_of_change() == before


def test_a_host_without_pf_ring_is_one_skipped_include(dry: tuple[Run, bool]) -> None:
    run, _ = dry
    assert run.rc == 0, run.output
    # The role's own inclusion and the judgement of its arguments run on the controller.
    assert re.search(r"^without +: ok=2 +changed=0 .*skipped=1", run.output, re.MULTILINE), run.output


def test_check_mode_of_the_role_changes_nothing_on_this_machine(dry: tuple[Run, bool]) -> None:
    run, unchanged = dry
    assert run.rc == 0, run.output
    assert "min_num_slots=65536 enable_tx_capture=0" in run.output
    assert "pfring 8.9.0.1" in run.output
    assert unchanged
