"""The kernel command line where grubby sets it (Enterprise Linux): read, plan, write, read back.

grubby changes every entry's arguments in place and keeps them for new kernels, so what is ours is in the record.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host import kernel_arguments
from ansible_collections.capstan.appliance.plugins.module_utils.host.grub_update import remember_left
from ansible_collections.capstan.appliance.plugins.module_utils.host.kernel_arguments import Argument, Wanted
from ansible_collections.capstan.appliance.plugins.module_utils.host.program import output_of
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, Record, read_text

_GRUBBY = "/usr/sbin/grubby"
_SECONDS = 120
_FIELD = re.compile(r'^(kernel|args)="?(.*?)"?$')


class Grubby:
    """The boot entries as grubby tells them, and what of them is ours."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._record = Record("kernel_cmdline", root)
        self.lines = self._read()
        self.ours = kernel_arguments.read(" ".join(self._record.read() or {}).split())

    def _read(self) -> dict[str, list[Argument]]:
        """Arguments of each kernel."""
        found: dict[str, list[Argument]] = {}
        kernel = ""
        for line in self._run("--info=ALL").splitlines():
            match = _FIELD.match(line.strip())
            if match and match[1] == "kernel":
                kernel = match[2]
            elif match and kernel:
                found[kernel] = kernel_arguments.read(kernel_arguments.split(match[2]))
        if not found:
            raise HostError("grubby --info=ALL names no kernel; see that it does, then deploy again")
        return found

    def plan(self, wanted: Sequence[Wanted]) -> tuple[list[Argument], list[Argument]]:
        """What is to be added to the entries, and what of ours is to be removed.

        Raises:
            HostError: an entry has another value of an argument.

        """
        arguments = [item.argument for item in wanted]
        remove = [argument for argument in self.ours if argument not in arguments]
        for kernel, line in self.lines.items():
            there = kernel_arguments.effective(argument for argument in line if argument not in remove)
            for item in wanted:
                other = there.get(item.argument.key, item.argument.text)
                if other != item.argument.text:
                    raise HostError(
                        f"the boot entry of {kernel} has {other}, which contradicts {item.argument.text} "
                        f"({item.reason}); remove it (grubby --update-kernel=ALL --remove-args={other}), "
                        f"or what asks for {item.argument.text} from the inventory"
                    )
        add = [
            argument
            for argument in arguments
            if any(kernel_arguments.lacking([argument], line) for line in self.lines.values())
        ]
        return add, remove

    def apply(self, add: Sequence[Argument], remove: Sequence[Argument]) -> None:
        """Change every entry and read it back; a failure is undone.

        Raises:
            HostError: grubby failed, or the entries are not as asked for.

        """
        # What some entry has on its own is not ours to remove from it later.
        new = [
            argument
            for argument in add
            if argument not in self.ours
            and all(kernel_arguments.lacking([argument], line) for line in self.lines.values())
        ]
        self._record.remember(dict.fromkeys((argument.text for argument in new), True))
        try:
            self._change(add, remove)
            self._read_back(add, remove)
        except HostError as error:
            try:
                self._change(remove, new)
            except HostError as second:
                raise HostError(f"{error}. This could not be undone: {second}") from error
            self._record.forget(argument.text for argument in new)
            raise
        running = kernel_arguments.read(kernel_arguments.split(read_text("/proc/cmdline", self._root) or ""))
        remember_left(self._root, [one for one in remove if not kernel_arguments.lacking([one], running)])
        self._record.forget(argument.text for argument in remove)

    def _read_back(self, add: Sequence[Argument], remove: Sequence[Argument]) -> None:
        for kernel, line in self._read().items():
            lost = kernel_arguments.lacking(add, line)
            kept = [argument for argument in remove if not kernel_arguments.lacking([argument], line)]
            if lost or kept:
                raise HostError(
                    f"the boot entry of {kernel} has not become as asked for "
                    f"({kernel_arguments.shown([*lost, *kept])}); look at grubby --info=ALL"
                )

    def _change(self, add: Sequence[Argument], remove: Sequence[Argument]) -> None:
        order = ["--update-kernel=ALL"]
        order += [f"--remove-args={kernel_arguments.shown(remove)}"] if remove else []
        order += [f"--args={kernel_arguments.shown(add)}"] if add else []
        if len(order) > 1:
            self._run(*order)

    def _run(self, *arguments: str) -> str:
        return output_of(
            self._root, _GRUBBY, arguments, seconds=_SECONDS, advice="mend what it names, then deploy again"
        )
