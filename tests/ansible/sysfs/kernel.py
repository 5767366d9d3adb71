"""A kernel, udev and the programs around them, over a tree: it reacts to what is written as Linux does.

Every change of the machine goes through `_step`, so that a test can have the n-th one fail, or end everything there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host.ethtool import Channels, Rings
from sysfs import tree as sysfs
from sysfs.tree import Device, Tree

_USER_SPACE = {"vfio-pci": "vfio_pci", "uio_pci_generic": "uio_pci_generic"}
RING_MOST = 4096
SPEED = 25_000
_RULE = re.compile(r'KERNEL=="([^"]+)", ATTR\{driver_override\}="([^"]+)"')


class EndError(BaseException):
    """The process, or the machine, ends here; nothing of the program runs any more."""


class Kernel:
    """The machine of a tree.

    Args:
        tree: as built.
        udev: whether udev runs and names interfaces as the description does; else they come back as ethN.
        driverctl: whether that is installed.

    """

    def __init__(self, tree: Tree, *, udev: bool = True, driverctl: bool = False) -> None:
        self.tree = tree
        self.fail_at: set[int] = set()
        """Numbers of the steps that fail with an I/O error."""
        self.end_at: int | None = None
        """Number of the step before which everything ends."""
        self.steps = 0
        self.log: list[str] = []
        self.refuses: dict[str, int] = {}
        """Error by which a driver refuses each device, or "DRIVER ADDRESS" this one."""
        self.silent: set[str] = set()
        """Drivers whose probe reports success and takes nothing."""
        self.queues: dict[str, Channels] = {}
        self.tells_queues = True
        """Whether the drivers tell queues and rings by ethtool; some do not."""
        self._unnamed: dict[str, str] = {}
        self._loaded_at_boot = self._drivers()
        for device in tree.devices.values():
            for interface in device.interfaces:
                self.queues[interface.name] = Channels(0, 0, interface.queues, 0, 0, 64)
        self._found = {path.name: (path / "flags").read_text() for path in tree.sys("class/net").iterdir()}
        if udev:
            sysfs.write(tree.root / "run/udev/control", "")
        if driverctl:
            sysfs.write(tree.root / "usr/sbin/driverctl", "#!/bin/bash")

    def _step(self, what: str) -> None:
        number, self.steps = self.steps, self.steps + 1
        if number == self.end_at:
            raise EndError(what)
        self.log.append(what)
        if number in self.fail_at:
            raise OSError(errno.EIO, os.strerror(errno.EIO), what)

    def changes(self, what: str) -> None:
        """A change of the disk that the code under test makes by itself; see `watch_disk`."""
        self._step(what)

    # What is written to sysfs.

    def put(self, path: Path, text: str) -> None:
        """In the place of record.put."""
        self._step(f"{path.relative_to(self.tree.root)} = {text.strip()!r}")
        self._react(path, text)

    def _react(self, path: Path, text: str) -> None:
        if not path.exists():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        word = text.strip()
        if path.name == "driver_override":
            sysfs.write(path, word or "(null)")
        elif path.name == "drivers_probe":
            self._probe(self._device(word))
        elif path.name == "bind":
            self._bind(path.parent.name, self._device(word))
        elif path.name == "unbind":
            self._unbind(path.parent.name, self._device(word))
        else:
            sysfs.write(path, word)

    def _device(self, address: str) -> Device:
        if address not in self.tree.devices:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return self.tree.devices[address]

    def driver(self, address: str) -> str | None:
        """Driver of a device."""
        path = self.tree.device_path(address) / "driver"
        return path.readlink().name if path.is_symlink() else None

    def override(self, address: str) -> str | None:
        """The one driver that may take it."""
        text = (self.tree.device_path(address) / "driver_override").read_text().strip()
        return None if text == "(null)" else text

    def _matches(self, driver: str, device: Device) -> bool:
        override = self.override(device.address)
        return driver == (override or device.driver)

    def _bind(self, driver: str, device: Device) -> None:
        if self.driver(device.address) is not None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        if not self._matches(driver, device):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        refusal = self.refuses.get(driver, self.refuses.get(f"{driver} {device.address}"))
        if driver == "vfio-pci" and "group" not in device.options:
            refusal = errno.EINVAL
        if refusal:
            raise OSError(refusal, os.strerror(refusal))
        if driver not in self.silent:
            self._attach(driver, device)

    def _attach(self, driver: str, device: Device) -> None:
        kernel_names: dict[str, str] = {}
        for interface in device.interfaces if driver == device.driver else ():
            number = next(n for n in range(100) if not self.tree.sys(f"class/net/eth{n}").exists())
            kernel_names[interface.name] = f"eth{number}"
            self.queues[f"eth{number}"] = Channels(0, 0, 1, 0, 0, 64)  # every driver starts with what it likes
            self._unnamed[f"eth{number}"] = interface.name
            interface.state = "down"
        sysfs.attach(self.tree, device, driver, names=kernel_names)
        if driver == "vfio-pci":
            node = self.tree.root / f"dev/vfio/{device.options['group']}"
            node.touch(mode=0o600)
            node.chmod(0o600)
            os.chown(node, -1, 0 if os.geteuid() == 0 else -1)

    def _unbind(self, driver: str, device: Device) -> None:
        if self.driver(device.address) != driver:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        sysfs.detach(self.tree, device)
        if driver == "vfio-pci":
            group = device.options["group"]
            others = [it for it in self.tree.devices.values() if it.options.get("group") == group]
            if not any(self.driver(other.address) == "vfio-pci" for other in others):
                (self.tree.root / f"dev/vfio/{group}").unlink()

    def _probe(self, device: Device) -> None:
        """Success is reported whether a driver takes the device or not."""
        if self.driver(device.address) is None:
            for driver in self._drivers():
                if self._matches(driver, device) and not self.refuses.get(driver):
                    self._bind(driver, device)
                    return

    def _drivers(self) -> list[str]:
        return sorted(path.name for path in self.tree.sys("bus/pci/drivers").iterdir())

    # Programs.

    def run(self, command: list[str]) -> tuple[int, str, str]:
        """In the place of module.run_command."""
        name, *arguments = command
        try:
            return getattr(self, f"_run_{name}")(arguments)
        except OSError as error:
            return 1, "", f"{name}: {error.strerror}"

    def _run_udevadm(self, arguments: list[str]) -> tuple[int, str, str]:
        assert arguments[0] == "settle"
        for kernel_name, wanted in self._unnamed.items():
            there = self.tree.sys(f"class/net/{kernel_name}").exists()
            if there and not self.tree.sys(f"class/net/{wanted}").exists():
                self._rename(kernel_name, wanted)
        self._unnamed.clear()
        return 0, "", ""

    def _rename(self, old: str, new: str) -> None:
        sysfs.rename_interface(self.tree, old, new)
        self.queues[new] = self.queues.pop(old)

    def _run_modprobe(self, arguments: list[str]) -> tuple[int, str, str]:
        self._step(f"modprobe {' '.join(arguments)}")
        if arguments[0] == "--remove":
            folder = self.tree.sys(f"bus/pci/drivers/{arguments[1]}")
            if any(entry.name in self.tree.devices for entry in folder.iterdir()):
                return 1, "", f"modprobe: FATAL: Module {arguments[1]} is in use."
            shutil.rmtree(folder)
            shutil.rmtree(self.tree.sys(f"module/{arguments[1].replace('-', '_')}"))
            return 0, "", ""
        return self._load(arguments[0])

    def _load(self, module: str) -> tuple[int, str, str]:
        known = {**{key.replace("-", "_"): key for key in _USER_SPACE}}
        known |= {
            device.driver.replace("-", "_"): device.driver for device in self.tree.devices.values() if device.driver
        }
        driver = known.get(module.replace("-", "_"))
        if driver is None or self.refuses.get(f"modprobe {module}"):
            return 1, "", f"modprobe: FATAL: Module {module} not found in directory /lib/modules/{sysfs.RELEASE}"
        sysfs.make_driver(self.tree, driver)
        return 0, "", ""

    def _run_driverctl(self, arguments: list[str]) -> tuple[int, str, str]:
        """As driverctl 0.111 goes: it stops at the first thing that fails and leaves what it has done."""
        probe = arguments[0] != "--noprobe"
        command, address, driver = [*arguments[not probe :], ""][:3]
        device, path = self.tree.devices[address], self.tree.device_path(address)
        if driver and not self.tree.sys(f"module/{driver.replace('-', '_')}").is_dir():
            self._step(f"driverctl: modprobe {driver}")
            if self._load(driver)[0]:
                return 1, "", f"driverctl: no such module: {driver}"
        bound = self.driver(address)
        if bound:
            self._step(f"driverctl: unbind {address}")
            self._unbind(bound, device)
        self._step(f"driverctl: driver_override of {address} = {driver!r}")
        sysfs.write(path / "driver_override", driver or "(null)")
        if probe:
            self._step(f"driverctl: drivers_probe {address}")
            with contextlib.suppress(OSError):
                self._probe(device)
            if self.driver(address) is None:
                return 1, "", f"driverctl: failed to bind device {address} to driver {driver}"
        self._step(f"driverctl: save {address}")
        saved = self.tree.root / f"etc/driverctl.d/pci-{address}"
        assert command in {"set-override", "unset-override"}
        if driver:
            sysfs.write(saved, driver)
        else:
            saved.unlink(missing_ok=True)
        return 0, "", ""

    def _run_ip(self, arguments: list[str]) -> tuple[int, str, str]:
        assert arguments[:3] == ["link", "set", "dev"]
        name, setting, *values = arguments[3:]
        self._step(f"ip link set {' '.join(arguments[3:])}")
        path = self.tree.sys(f"class/net/{name}")
        if not path.exists():
            return 1, "", f"Cannot find device {name}"
        if setting == "name":
            self._rename(name, values[0])
        elif setting == "mtu":
            sysfs.write(path / "mtu", values[0])
        else:
            sysfs.write(path / "flags", {"up": "0x1003", "down": "0x1002"}[setting])
        return 0, "", ""

    # The ethtool ioctl.

    def channels(self, interface: str) -> Channels | None:
        """Queues of an interface."""
        return self.queues[interface] if self.tells_queues else None

    def rings(self, interface: str) -> Rings | None:
        """Receive rings of an interface."""
        return Rings(512, RING_MOST) if self.tells_queues and interface in self.queues else None

    def speed(self, interface: str) -> int | None:
        """Link of an interface, which is up or supports as much."""
        wireless = (self.tree.sys("class/net") / interface / "phy80211").exists()
        return SPEED if self.tells_queues and interface in self.queues and not wireless else None

    def set_channels(self, interface: str, channels: Channels) -> None:
        """Change them."""
        self._step(f"channels of {interface}: {channels.combined}")
        most = self.queues[interface]  # the driver's own, whatever the request says
        self.queues[interface] = replace(
            channels, max_rx=most.max_rx, max_tx=most.max_tx, max_combined=most.max_combined
        )

    # The whole machine.

    def reboot(self) -> None:
        """Overrides are gone, every device has its driver, udev has named them; then what the files keep is done."""
        self.end_at, self.fail_at = None, set()
        for driver in set(self._drivers()).difference(self._loaded_at_boot):
            for address in self.tree.devices:
                if self.driver(address) == driver:
                    self._unbind(driver, self.tree.devices[address])
            shutil.rmtree(self.tree.sys(f"bus/pci/drivers/{driver}"))
            shutil.rmtree(self.tree.sys(f"module/{driver.replace('-', '_')}"))
        for driver in self._loaded_at_boot:
            sysfs.make_driver(self.tree, driver)
        for address, device in self.tree.devices.items():
            sysfs.write(self.tree.device_path(address) / "driver_override", "(null)")
            if self.driver(address) != device.driver and device.driver:
                self._bind(device.driver, device)
        self._run_udevadm(["settle"])
        self._as_configured()
        for folder in ("etc/udev/rules.d", "usr/local/lib/udev/rules.d", "etc/driverctl.d", "etc/modules-load.d"):
            self._apply(self.tree.root / folder)

    def _as_configured(self) -> None:
        """What the distribution's own configuration makes of the interfaces."""
        for device in self.tree.devices.values():
            for interface in device.interfaces:
                path = self.tree.sys(f"class/net/{interface.name}")
                if path.exists():
                    (path / "flags").write_text(self._found[interface.name])
                    self.queues[interface.name] = Channels(0, 0, interface.queues, 0, 0, 64)

    def _apply(self, folder: Path) -> None:
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            text = path.read_text()
            if path.suffix == ".conf":
                for line in text.splitlines():
                    assert line.startswith("#") or self._load(line)[0] == 0
            kept = [(path.name.removeprefix("pci-"), text.strip())] if path.name.startswith("pci-") else []
            for address, driver in kept or _RULE.findall(text):
                self._load(driver)
                sysfs.write(self.tree.device_path(address) / "driver_override", driver)
                bound = self.driver(address)
                if bound and bound != driver:
                    self._unbind(bound, self.tree.devices[address])
                self._probe(self.tree.devices[address])

    def state(self) -> dict[str, Any]:
        """All that a rollback must bring back: drivers, overrides, interfaces, files."""
        files = {
            str(path.relative_to(self.tree.root)): path.read_text()
            for top in ("etc", "var", "dev/vfio")
            for path in (self.tree.root / top).rglob("*")
            if path.is_file()
        }
        interfaces = {
            path.name: (path / "flags").read_text() + (path / "mtu").read_text() + str(self.queues[path.name].combined)
            for path in self.tree.sys("class/net").iterdir()
            if path.name in self.queues
        }
        devices = {address: (self.driver(address), self.override(address)) for address in self.tree.devices}
        return {"devices": devices, "interfaces": interfaces, "files": files, "drivers": self._drivers()}
