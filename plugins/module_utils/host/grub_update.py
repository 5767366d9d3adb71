"""Carries out a plan for the kernel command line, so that a reset at any moment leaves a host that GRUB boots.

Debian's update-grub checks grub.cfg.new and then copies it over grub.cfg, which a reset may cut short. It is therefore
asked to write beside it (it takes the last --output), and what it wrote takes grub.cfg's place by renaming, once it has
been read back. Whatever fails before that leaves grub.cfg untouched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host import grub_config
from ansible_collections.capstan.appliance.plugins.module_utils.host.kernel_arguments import Argument
from ansible_collections.capstan.appliance.plugins.module_utils.host.kernel_cmdline import (
    CONFIG,
    ENVIRONMENT,
    MODES,
    NEXT_ENTRY,
    TRIAL,
    UNFINISHED,
    Plan,
    State,
    mistakes,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.own_arguments import DROPIN, LEFT
from ansible_collections.capstan.appliance.plugins.module_utils.host.program import output_of
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    HostError,
    Record,
    below,
    durable_remove,
    durable_write,
    read_text,
    remove_empty,
)

UPDATE_GRUB = "/usr/sbin/update-grub"
_GRUB_REBOOT = "/usr/sbin/grub-reboot"
_GRUB_EDITENV = "/usr/bin/grub-editenv"
_GRUB_PROBE = "/usr/sbin/grub-probe"
_BESIDE = ".capstan"  # ends the name of the grub.cfg that is not in place yet
_UPDATE_SECONDS = 600  # os-prober looks at every disk
_TOOL_SECONDS = 60
# What GRUB can't write its environment block on (00_header of Debian): the trial would be booted for ever.
_NO_WRITE_ABSTRACTIONS = frozenset({"diskfilter", "lvm"})
_NO_WRITE_SYSTEMS = frozenset({"btrfs", "cpiofs", "newc", "odc", "romfs", "squash4", "tarfs", "zfs"})


def trial_possible(root: Path) -> None:
    """Refuse a trial where GRUB could not forget it after one boot."""
    for target, bad in (("abstraction", _NO_WRITE_ABSTRACTIONS), ("fs", _NO_WRITE_SYSTEMS)):
        answer = _run(root, _GRUB_PROBE, [f"--target={target}", str(below(root, CONFIG).parent)], _TOOL_SECONDS)
        found = bad.intersection(answer.split())
        if found:
            raise HostError(
                f"capture_kernel.trial: /boot/grub is on {min(found)}, on which GRUB can't write: it would "
                "boot the trial for ever; write trial: false, or give /boot a partition of its own with ext4"
            )


def apply(root: Path, state: State, plan: Plan, *, keep_record: bool) -> None:
    """Do what the plan says and read it back.

    Args:
        root: put before all paths.
        state: the host that the plan was made for.
        plan: what is to be done.
        keep_record: False when nothing of ours is left after this.

    Raises:
        HostError: a step failed; everything is as it was before.

    """
    record = Record("kernel_cmdline", root)
    before = record.read() or {}
    originals: dict[str, object] = {UNFINISHED: True, "folder": below(root, grub_config.DROPINS).is_dir()}
    if plan.arm:
        originals[NEXT_ENTRY] = state.environment.get(NEXT_ENTRY)
        originals["environment"] = state.environment_there
    record.remember(originals)
    known = record.read() or {}
    try:
        remember_left(root, plan.left)
        if plan.generate:
            _write(root, plan.files)
            _generate(root, state, plan)
        if plan.arm:
            _arm(root)
        if plan.disarm:
            _disarm(root, known)
        if keep_record:
            record.forget({UNFINISHED, *((NEXT_ENTRY, "environment") if plan.disarm else ())})
        else:
            _remove_folder(root, known)
            record.forget()
    except (HostError, OSError) as error:
        left = _undo(root, state, known)
        if not left:
            record.remember(before)
            record.forget(set(known) - set(before))
        raise HostError(". ".join([str(error), *left])) from error


def _write(root: Path, files: Mapping[str, str | None]) -> None:
    for path, text in files.items():
        if text is None:
            durable_remove(path, root)
            continue
        if path == DROPIN:
            below(root, DROPIN).parent.mkdir(mode=0o755, exist_ok=True)
        durable_write(path, text, MODES[path], root)


def remember_left(root: Path, left: Sequence[Argument]) -> None:
    """Note arguments that only a boot takes off the running line; the same boot takes the note, too."""
    if left:
        known = (read_text(LEFT, root) or "").splitlines()
        texts = dict.fromkeys([*known, *(argument.text for argument in left)])
        below(root, LEFT).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable_write(LEFT, "\n".join(texts) + "\n", 0o600, root)


def _generate(root: Path, state: State, plan: Plan) -> None:
    """Have update-grub write a grub.cfg beside the one in place, read it, and put it in its place."""
    config = below(root, CONFIG).resolve()
    beside = config.with_name(config.name + _BESIDE)
    _remove_beside(beside)
    try:
        _run(root, UPDATE_GRUB, ["--output", str(beside)], _UPDATE_SECONDS, LANG=grub_config.language(state.config))
        if config.read_text(encoding="utf-8", errors="surrogateescape") != state.config:
            raise HostError(
                f"{UPDATE_GRUB} of this host does not write where --output says; put Debian's own in its place"
            )
        text = beside.read_text(encoding="utf-8", errors="surrogateescape")
        wrong = mistakes(plan, text, state.environment)
        if wrong:
            raise HostError(f"the grub.cfg that update-grub makes is not as asked for: {'; '.join(wrong)}")
        _install(beside, config)
    finally:
        _remove_beside(beside)


def _install(beside: Path, config: Path) -> None:
    """Put a file in another's place, with its owner and mode, for good."""
    former = config.stat()
    with beside.open("rb") as file:
        os.fchown(file.fileno(), former.st_uid, former.st_gid)
        os.fchmod(file.fileno(), former.st_mode & 0o7777)
        os.fsync(file.fileno())
    beside.replace(config)
    folder = os.open(config.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove_beside(beside: Path) -> None:
    for name in (beside, beside.with_name(f"{beside.name}.new")):
        name.unlink(missing_ok=True)


def _arm(root: Path) -> None:
    """Have GRUB boot the trial entry once. 00_header heeds next_entry whatever GRUB_DEFAULT is."""
    if not below(root, ENVIRONMENT).exists():
        _run(root, _GRUB_EDITENV, [str(below(root, ENVIRONMENT)), "create"], _TOOL_SECONDS)
    boot = str(below(root, ENVIRONMENT).parent.parent)
    _run(root, _GRUB_REBOOT, [f"--boot-directory={boot}", TRIAL], _TOOL_SECONDS)
    _expect(root, TRIAL)


def _disarm(root: Path, known: Mapping[str, object]) -> None:
    """Give next_entry back the value that it had before the trial; GRUB leaves it empty when it has booted it."""
    now = grub_config.environment(read_text(ENVIRONMENT, root))
    if now.get(NEXT_ENTRY, "") in {"", TRIAL}:
        _give_back(root, now, known.get(NEXT_ENTRY), there=known.get("environment") is not False)


def _give_back(root: Path, now: Mapping[str, str], original: object, *, there: bool) -> None:
    file = str(below(root, ENVIRONMENT))
    if now.get(NEXT_ENTRY) != original:
        order = ["unset", NEXT_ENTRY] if original is None else ["set", f"{NEXT_ENTRY}={original}"]
        _run(root, _GRUB_EDITENV, [file, *order], _TOOL_SECONDS)
        _expect(root, original)
    if not there and not grub_config.environment(read_text(ENVIRONMENT, root)):
        durable_remove(ENVIRONMENT, root)


def _expect(root: Path, value: object) -> None:
    found = grub_config.environment(read_text(ENVIRONMENT, root)).get(NEXT_ENTRY)
    if found != value:
        raise HostError(f"{ENVIRONMENT} has next_entry={found} where {value} was set; look at the file system of /boot")
    descriptor = os.open(below(root, ENVIRONMENT), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _undo(root: Path, state: State, known: Mapping[str, object]) -> list[str]:
    """Everything as it was; tells what could not be."""
    left = []
    steps: list[Callable[[], object]] = [
        lambda: _write(root, state.files),
        lambda: _remove_folder(root, known),
        lambda: _restore_config(root, state.config),
        lambda: _restore_environment(root, state),
        lambda: _restore_note(root, state.left),
    ]
    for step in steps:
        try:
            step()
        except (HostError, OSError) as error:
            left.append(f"this could not be undone: {error}")
    return left


def _remove_folder(root: Path, known: Mapping[str, object]) -> None:
    """The drop-ins' folder goes if it was made for ours alone."""
    if known["folder"] is False:
        remove_empty(grub_config.DROPINS, root)


def _restore_config(root: Path, text: str) -> None:
    config = below(root, CONFIG).resolve()
    _remove_beside(config.with_name(config.name + _BESIDE))
    if config.read_text(encoding="utf-8", errors="surrogateescape") != text:
        beside = config.with_name(config.name + _BESIDE)
        beside.write_text(text, encoding="utf-8", errors="surrogateescape")
        _install(beside, config)


def _restore_environment(root: Path, state: State) -> None:
    now = grub_config.environment(read_text(ENVIRONMENT, root))
    _give_back(root, now, state.environment.get(NEXT_ENTRY), there=state.environment_there)


def _restore_note(root: Path, text: str) -> None:
    if (read_text(LEFT, root) or "") == text:
        return
    if text:
        durable_write(LEFT, text + "\n", 0o600, root)
    else:
        durable_remove(LEFT, root)
        remove_empty(Path(LEFT).parent, root)


def _run(root: Path, program: str, arguments: list[str], seconds: int, **environment: str) -> str:
    """Run a program of GRUB's; its output. It translates by LANG, and what it writes into grub.cfg, too."""
    advice = "grub.cfg is as it was. Run it by hand, mend what it names, then deploy again"
    return output_of(root, program, arguments, seconds=seconds, advice=advice, environment={"LANG": "C", **environment})
