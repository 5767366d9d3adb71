"""A host that GRUB boots, as a tree of files: what Debian's update-grub reads and writes, with the same steps.

Like grub-mkconfig it sources the settings, runs the scripts of /etc/grub.d, refuses what grub-script-check would, and
copies the result over the file that it was told to write last. Each program finds the tree from its own place in it.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

DEVICE = "11111111-2222-3333-4444-555555555555"
KERNELS = ("6.1.0-44-amd64", "6.1.0-30-amd64")

UPDATE_GRUB = r"""#!/bin/sh
set -e
root=${0%/usr/sbin/update-grub}
set -- --output "$root/boot/grub/grub.cfg" "$@"
while [ $# -gt 0 ]; do
    [ "$1" = --output ] && output=$2
    shift 2
done
. "$root/etc/default/grub"
for x in "$root"/etc/default/grub.d/*.cfg; do [ ! -e "$x" ] || . "$x"; done
export GRUB_CMDLINE_LINUX GRUB_CMDLINE_LINUX_DEFAULT GRUB_DEFAULT root
[ "$GRUB_DEFAULT" != saved ] || GRUB_DEFAULT='${saved_entry}'
rm -f "$output.new"
{
    printf '%s\n' 'if [ "${next_entry}" ] ; then' '   set default="${next_entry}"' 'else' \
        "   set default=\"$GRUB_DEFAULT\"" 'fi' 'function load_video {' '  insmod all_video' '}' \
        "  set lang=${LANG%%.*}"
    for script in "$root"/etc/grub.d/*; do "$script"; done
} >"$output.new"
if grep -q SYNTAX "$output.new"; then
    echo "Syntax errors are detected in generated GRUB config file." >&2
    exit 1
fi
cat "$output.new" >"$output"
rm -f "$output.new"
"""

LINUX = rf"""#!/bin/sh
entry()
{{
    echo "$5menuentry '$1' --class gnu-linux \$menuentry_id_option '$2' {{"
    echo "$5	if [ x\$grub_platform = xxen ]; then insmod xzio; fi"
    echo "$5	linux	/vmlinuz-$3 root=UUID={DEVICE} ro $4"
    echo "$5	initrd	/initrd.img-$3"
    echo "$5}}"
}}
all="$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT"
newest_first=
for path in "$root"/boot/vmlinuz-*; do
    [ ! -e "$path" ] || newest_first="${{path##*/vmlinuz-}} $newest_first"
done
first=yes
for kernel in $newest_first; do
    if [ "$first" ]; then
        entry 'Debian GNU/Linux' gnulinux-simple-{DEVICE} "$kernel" "$all"
        echo "submenu 'Advanced options for Debian GNU/Linux' \$menuentry_id_option 'gnulinux-advanced-{DEVICE}' {{"
        first=
    fi
    entry "Debian GNU/Linux, with Linux $kernel" "gnulinux-$kernel-advanced-{DEVICE}" "$kernel" "$all" '	'
    entry "Debian GNU/Linux, with Linux $kernel (recovery mode)" "gnulinux-$kernel-recovery-{DEVICE}" "$kernel" \
        "single $GRUB_CMDLINE_LINUX" '	'
done
[ "$first" ] || echo "}}"
"""

# grub-editenv FILE create|set NAME=VALUE|unset NAME, and grub-reboot --boot-directory=DIR ENTRY
EDITENV = f"""#!{sys.executable} -IS
import pathlib, sys
file, order, *rest = sys.argv[1:]
path = pathlib.Path(file)
head = "# GRUB Environment Block\\n"
text = path.read_text() if path.exists() else head + "#" * (1024 - len(head))
lines = [line for line in text.splitlines() if line and not line.startswith("#")]
name = rest[0].partition("=")[0] if rest else ""
if order == "set" and any(line.startswith(name + "=") for line in lines):
    lines = [rest[0] if line.startswith(name + "=") else line for line in lines]
elif order == "set":
    lines.append(rest[0])
elif order == "unset":
    lines = [line for line in lines if not line.startswith(name + "=")]
text = head + "".join(line + "\\n" for line in lines)
path.write_text(text + "#" * (1024 - len(text)))
"""
REBOOT = """#!/bin/sh
exec "${0%/sbin/grub-reboot}/bin/grub-editenv" "${1#--boot-directory=}/grub/grubenv" set "next_entry=$2"
"""
PROBE = """#!/bin/sh
case $1 in --target=fs) cat "${0%/usr/sbin/grub-probe}/fs" ;; esac
"""


class GrubHost:
    """The tree, and what an administrator, GRUB and a boot do to it."""

    def __init__(self, root: Path, like: GrubHost | None = None) -> None:
        self.root = root
        self.boots = like.boots if like else 0
        if like:
            shutil.copytree(like.root, root, symlinks=True)
        else:
            self._make()

    def _make(self) -> None:
        for path, text in (("usr/sbin/update-grub", UPDATE_GRUB), ("etc/grub.d/10_linux", LINUX)):
            self.write(path, text, 0o755)
        for path, text in (
            ("usr/bin/grub-editenv", EDITENV),
            ("usr/sbin/grub-reboot", REBOOT),
            ("usr/sbin/grub-probe", PROBE),
        ):
            self.write(path, text, 0o755)
        self.write("etc/default/grub", 'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n')
        self.write("etc/default/grub.d/init-select.cfg", ":\n")
        self.write("fs", "ext2\n")
        for kernel in KERNELS:
            self.write(f"boot/vmlinuz-{kernel}", "kernel")
        self.write("boot/grub/grub.cfg", "", 0o444)
        (self.root / "var/lib").mkdir(parents=True)
        self.update()
        self.boot()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file, whose folders are made."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def read(self, path: str) -> str:
        """Content of a file; empty where there is none."""
        file = self.root / path
        return file.read_text() if file.exists() else ""

    def update(self) -> None:
        """What the administrator's or a kernel package's update-grub does."""
        from subprocess import run  # noqa: PLC0415 - the name would hide what the tests call run

        run([str(self.root / "usr/sbin/update-grub")], check=True, env={"PATH": "/usr/bin:/bin", "LANG": "de_DE.UTF-8"})

    def boot(self, *, dies: bool = False) -> None:
        """GRUB boots what it would; a machine that dies is reset and boots once more."""
        config = self.read("boot/grub/grub.cfg")
        environment = self.read("boot/grub/grubenv")
        chosen = "gnulinux-simple-"
        if "next_entry=capstan-trial" in environment:
            chosen = "capstan-trial"
            text = environment.replace("next_entry=capstan-trial", "next_entry=", 1)
            self.write("boot/grub/grubenv", text + "#" * (1024 - len(text)))
        entry = config[config.index(f"'{chosen}") :]
        line = next(line.split(None, 2)[2] for line in entry.splitlines() if line.split()[:1] == ["linux"])
        self.boots += 1
        self.write("proc/cmdline", f"BOOT_IMAGE=/vmlinuz {line}\n")
        self.write("proc/sys/kernel/random/boot_id", f"boot-{self.boots}\n")
        left = self.root / "run/capstan-host/kernel_cmdline"
        left.unlink(missing_ok=True)
        if left.parent.is_dir():
            left.parent.rmdir()
        if dies:
            self.boot()

    def snapshot(self) -> Mapping[str, tuple[int, bytes]]:
        """Every file with mode and content, and every folder."""
        return {
            str(path.relative_to(self.root)): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in sorted(self.root.rglob("*"))
        }
