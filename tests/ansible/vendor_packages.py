"""Packages as PF_RING's vendor makes them, built by dpkg-deb: library, source of the module, module for one kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path

VERSION = "8.9.0.1"
# A module that compiles and answers as PF_RING does; whole machines build it with DKMS.
SOURCE = """\
#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <net/net_namespace.h>

static unsigned int min_num_slots = 4096;
static unsigned int enable_tx_capture = 1;
module_param(min_num_slots, uint, 0644);
module_param(enable_tx_capture, uint, 0644);

static int show(struct seq_file *m, void *unused)
{
	seq_puts(m, "PF_RING Version          : 8.9.0 (stand-in)\\n");
	seq_printf(m, "Total rings              : %d\\n", 0);
	seq_printf(m, "Ring slots               : %u\\n", min_num_slots);
	seq_printf(m, "Capture TX               : %s\\n", enable_tx_capture ? "Yes [RX+TX]" : "No [RX only]");
	return 0;
}

static int __init start(void)
{
	struct proc_dir_entry *folder = proc_mkdir("pf_ring", init_net.proc_net);

	return folder && proc_create_single("info", 0444, folder, show) ? 0 : -ENOMEM;
}

static void __exit stop(void)
{
	remove_proc_subtree("pf_ring", init_net.proc_net);
}

module_init(start);
module_exit(stop);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Stands in for PF_RING in tests");
"""
MAKEFILE = """\
obj-m := pf_ring.o
BUILD_KERNEL ?= $(shell uname -r)
all:
	$(MAKE) -C /lib/modules/$(BUILD_KERNEL)/build M=$(CURDIR) modules
clean:
	$(MAKE) -C /lib/modules/$(BUILD_KERNEL)/build M=$(CURDIR) clean
"""
DKMS = f"""\
PACKAGE_NAME="pfring"
PACKAGE_VERSION="{VERSION}"
MAKE[0]="make BUILD_KERNEL=${{kernelver}}"
CLEAN="make clean"
BUILT_MODULE_NAME[0]="pf_ring"
DEST_MODULE_LOCATION[0]="/updates"
AUTOINSTALL="yes"
"""
UNIT = """\
[Unit]
Description=PF_RING service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/pf_ringctl start
ExecStop=/usr/bin/pf_ringctl stop

[Install]
WantedBy=multi-user.target
"""
# Does what must never happen, so that a test sees whether it was called.
PF_RINGCTL = """\
#!/bin/sh
echo "$1" >>/var/log/pf_ringctl-was-called
umount /dev/hugepages
echo 0 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
"""
POSTINST = """\
#!/bin/sh
[ "$1" = configure ] || exit 0
ldconfig
if [ -d /run/systemd/system ]; then
    systemctl enable --quiet pf_ring.service
    systemctl restart pf_ring.service
fi
"""
PRERM = """\
#!/bin/sh
if [ -d /run/systemd/system ]; then
    systemctl stop pf_ring.service
    systemctl disable --quiet pf_ring.service
fi
"""
DKMS_POSTINST = f"""\
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
dkms add -m pfring -v {VERSION}
"""
DKMS_PRERM = f"""\
#!/bin/sh
dkms remove -m pfring -v {VERSION} --all
"""


def build(folder: Path, name: str, files: dict[str, str], *, architecture: str = "all", **scripts: str) -> Path:
    """A package of these files; scripts are postinst and prerm."""
    tree = folder / f"{name}-tree"
    control = (
        f"Package: {name}\nVersion: {VERSION}\nArchitecture: {architecture}\nMaintainer: Tests <tests@example.net>\n"
    )
    written = {**files, "/DEBIAN/control": f"{control}Description: stands in for the vendor's package\n"}
    for path, text in (written | {f"/DEBIAN/{script}": text for script, text in scripts.items()}).items():
        file = tree / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755 if text.startswith("#!") else 0o644)
    package = folder / f"{name}_{VERSION}_{architecture}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, package], check=True, capture_output=True)
    return package


def library(folder: Path, architecture: str = "all") -> Path:
    """The package pfring: library, service and the script that must stay away from hugepages."""
    files = {
        "/usr/lib/libpfring.so.8": "stands in for the library\n",
        "/usr/bin/pf_ringctl": PF_RINGCTL,
        "/etc/systemd/system/pf_ring.service": UNIT,
    }
    return build(folder, "pfring", files, architecture=architecture, postinst=POSTINST, prerm=PRERM)


def source(folder: Path) -> Path:
    """The package pfring-dkms."""
    place = f"/usr/src/pfring-{VERSION}"
    files = {f"{place}/pf_ring.c": SOURCE, f"{place}/Makefile": MAKEFILE, f"{place}/dkms.conf": DKMS}
    return build(folder, "pfring-dkms", files, postinst=DKMS_POSTINST, prerm=DKMS_PRERM)


def prebuilt(folder: Path, kernel: str) -> Path:
    """A package that brings the module for one kernel, for hosts without a compiler."""
    return build(folder, f"pfring-modules-{kernel}", {f"/lib/modules/{kernel}/updates/pf_ring.ko": "module\n"})
