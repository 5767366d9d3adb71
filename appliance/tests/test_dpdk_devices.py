"""The table of NICs that DPDK knows is what the packaged drivers say of themselves."""

import json
import subprocess
from pathlib import Path

import pytest

from capstan.dpdk_devices import driver_for
from dpdk_devices_table import CHECKOUT, TABLE, drivers, objects_in, packaged

RELEASES = json.loads(TABLE.read_text(encoding="utf-8"))


def this_release() -> str:
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    told = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
    return f"{told['ID']}-{told['VERSION_ID']}"


def test_the_table_is_what_the_installed_drivers_say() -> None:
    objects = [path for folder in Path("/usr/lib").glob("*-linux-gnu/dpdk") for path in objects_in(folder)]
    assert len(objects) == len(packaged())
    assert RELEASES[this_release()] == drivers(objects)


@pytest.mark.parametrize("release", RELEASES)
def test_the_table_is_what_the_built_packages_say(release: str, tmp_path: Path) -> None:
    debs = sorted((CHECKOUT / "dist" / release / "dpdk_packages").glob("librte-net-*.deb"))
    if not debs:
        pytest.skip(f"nothing was built for {release} here")
    for deb in debs:
        subprocess.run(["/usr/bin/dpkg-deb", "--extract", deb, tmp_path], check=True)
    assert RELEASES[release] == drivers(objects_in(tmp_path))


@pytest.mark.parametrize(
    ("model", "distribution", "driver"),
    [
        ("8086:1592", "debian-12", "net_ice"),
        ("8086:12d1", "debian-12", None),  # came with DPDK 24.11
        ("8086:12d1", "debian-13", "net_ice"),
        ("15b3:1017", "debian-12", "mlx5_eth"),
        ("15b3:1003", "debian-13", None),  # mlx4, whose driver is not packaged
        ("1af4:1041", "ubuntu-24.04", "net_virtio"),
        ("10ec:8168", "", None),
    ],
)
def test_a_nic_has_the_driver_that_knows_it(model: str, distribution: str, driver: str | None) -> None:
    assert driver_for(model, distribution) == driver
