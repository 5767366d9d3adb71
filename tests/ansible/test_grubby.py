"""The kernel command line where grubby sets it, with a stand-in for grubby that keeps the entries in a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from grub_host import GrubHost
from test_kernel_cmdline import ISOLATION, argument, refused, run, running_of_ours

GRUBBY = f"""#!{sys.executable}
import json, pathlib, sys
file = pathlib.Path(sys.argv[0]).with_name("entries.json")
entries = json.loads(file.read_text())
words = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
if "info" in words:
    for number, (kernel, line) in enumerate(entries.items()):
        print(f'index={{number}}\\nkernel="{{kernel}}"\\nargs="{{line}}"\\nroot="/dev/sda1"')
    sys.exit()
if "refuse" in words.get("args", ""):
    sys.exit("grubby: no")
for kernel, line in entries.items():
    line = [word for word in line.split() if word not in words.get("remove-args", "").split()]
    line += [word for word in words.get("args", "").split() if word not in line]
    entries[kernel] = " ".join(line)
file.write_text(json.dumps(entries))
"""


@pytest.fixture
def enterprise(tmp_path: Path) -> GrubHost:
    host = GrubHost(tmp_path)
    host.write("usr/sbin/grubby", GRUBBY, 0o755)
    host.write("usr/sbin/entries.json", json.dumps({"/boot/vmlinuz-1": "ro quiet", "/boot/vmlinuz-2": "ro iommu=pt"}))
    return host


def test_grubby_sets_every_entry_and_takes_only_ours_away(enterprise: GrubHost) -> None:
    before = enterprise.snapshot()
    wanted = [argument("iommu=pt"), *ISOLATION]
    assert run(enterprise, *wanted, check=True)["changed"]
    assert enterprise.snapshot() == before
    assert run(enterprise, *wanted)["changed"]
    entries = json.loads(enterprise.read("usr/sbin/entries.json"))
    assert all({"iommu=pt", "nohz_full=2-3"} <= set(line.split()) for line in entries.values())
    assert not run(enterprise, *wanted)["changed"]
    assert run(enterprise)["changed"]
    assert json.loads(enterprise.read("usr/sbin/entries.json"))["/boot/vmlinuz-2"] == "ro iommu=pt"
    assert not run(enterprise)["changed"]


def test_ours_is_known_until_a_boot_ends_it(enterprise: GrubHost) -> None:
    words = tuple(entry["argument"] for entry in ISOLATION)
    run(enterprise, *ISOLATION)
    assert running_of_ours(enterprise) == ()
    enterprise.write("proc/cmdline", " ".join(["ro", *words]))
    assert running_of_ours(enterprise) == words
    run(enterprise)
    assert running_of_ours(enterprise) == words


def test_grubby_refuses_what_an_entry_contradicts_and_undoes_a_failure(enterprise: GrubHost) -> None:
    assert "/boot/vmlinuz-2 has iommu=pt, which contradicts iommu=off" in refused(enterprise, argument("iommu=off"))
    assert "grubby: no" in refused(enterprise, argument("refuse=1"))
    assert "no trial boot where grubby" in refused(enterprise, *ISOLATION, trial=True)
