"""The table of the NICs that DPDK's packaged drivers know, out of the drivers themselves.

python tests/dpdk_devices_table.py debian-13 FOLDER    brings one release up to date from a folder with its drivers

Each driver's shared object holds a JSON text with the PCI addresses that it matches, for DPDK's own dpdk-pmdinfo.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TABLE = CHECKOUT / "appliance/src/capstan/dpdk_devices.json"
_TEXT = re.compile(rb"PMD_INFO_STRING= (\{[^\0]*\})\0")


def packaged() -> list[str]:
    """The drivers that the engine's package depends on, by the build's own list."""
    script = (CHECKOUT / "roles/builder/files/dpdk-deb").read_text(encoding="utf-8")
    found = re.search(r"^drivers=\((.*)\)$", script, re.MULTILINE)
    assert found is not None
    return found[1].split()


def drivers(objects: Iterable[Path]) -> dict[str, str]:
    """Of each driver the devices that it knows, as "VENDOR:DEVICE ..."; virtual ones know none."""
    found: dict[str, set[str]] = {}
    for path in objects:
        for text in _TEXT.findall(path.read_bytes()):
            told = json.loads(text)
            known = {f"{vendor:04x}:{device:04x}" for vendor, device, *_ in told.get("pci_ids", ())}
            if known:
                found.setdefault(told["name"], set()).update(known)
    return {name: " ".join(sorted(known)) for name, known in sorted(found.items())}


def objects_in(folder: Path) -> list[Path]:
    """The packaged drivers somewhere below a folder."""
    names = "|".join(map(re.escape, packaged()))
    wanted = re.compile(rf"librte_net_({names})\.so\.\d+\.\d+")
    return [path for path in sorted(folder.rglob("librte_net_*.so.*.*")) if wanted.fullmatch(path.name)]


if __name__ == "__main__":
    release, place = sys.argv[1:]
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    table[release] = drivers(objects_in(Path(place)))
    TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")
