"""The kernel command line of a host that GRUB boots: what is configured, what runs, and what is to be written.

Configured is what the generated entries of grub.cfg have, running what /proc/cmdline has. Ours stands in one drop-in of
/etc/default/grub.d, whose absence is how the host was; Debian's kernel packages run update-grub, so it holds for every
kernel. On trial, the new line stands in one menu entry of its own that GRUB is told to boot once; the default entry
keeps the old line until the host has come back on the new one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host import grub_config, kernel_arguments
from ansible_collections.capstan.appliance.plugins.module_utils.host.kernel_arguments import Argument, Wanted
from ansible_collections.capstan.appliance.plugins.module_utils.host.own_arguments import (
    DROPIN,
    LEFT,
    SCRIPT,
    of_dropin,
    of_trial,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    BOOT_ID,
    HostError,
    Record,
    below,
    read_text,
)

CONFIG = "/boot/grub/grub.cfg"
ENVIRONMENT = "/boot/grub/grubenv"
TRIAL = "capstan-trial"
MODES = {DROPIN: 0o644, SCRIPT: 0o755}

UNFINISHED = "unfinished"  # in the record: grub.cfg may not be made of the settings yet
NEXT_ENTRY = "next_entry"  # in the record: GRUB's variable as it was before the trial, None where it was not there

_SCRIPT_BOOT = re.compile(r"^# boot: (\S*)$", re.MULTILINE)


@dataclass(frozen=True)
class State:
    """A host as it is."""

    files: Mapping[str, str | None]  # drop-in and trial script
    config: str
    environment: Mapping[str, str]
    environment_there: bool
    running: str
    boot: str
    left: str
    record: Mapping[str, object] | None
    administrator: Sequence[grub_config.Settings]  # the settings files without ours


@dataclass(frozen=True)
class Plan:
    """What is to be done, and what holds afterwards."""

    files: Mapping[str, str | None]
    line: Sequence[Argument]  # each generated entry has these
    trial: Sequence[Argument] | None  # the trial entry has these; None: there is none
    gone: Sequence[Argument]  # the trial entry has none of these; without a trial, no generated entry has
    generate: bool
    arm: bool
    disarm: bool
    left: Sequence[Argument]  # configured no more, but running
    reasons: Sequence[Mapping[str, object]]

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return self.generate or self.arm or self.disarm


def untouched(root: Path) -> bool:
    """Whether nothing of ours is on the host, nor was in this boot."""
    ours_there = any(below(root, path).exists() for path in (*MODES, LEFT))
    return not ours_there and Record("kernel_cmdline", root).read() is None


def read_state(root: Path) -> State:
    """Read the host.

    Raises:
        HostError: a file can't be read, or a settings file is none.

    """
    files = {path: _content(root, path) for path in MODES}
    others = [file for file in grub_config.settings_files(root) if file != DROPIN]
    return State(
        files=files,
        config=_content(root, CONFIG) or "",
        environment=grub_config.environment(_content(root, ENVIRONMENT)),
        environment_there=below(root, ENVIRONMENT).exists(),
        running=read_text("/proc/cmdline", root) or "",
        boot=read_text(BOOT_ID, root) or "",
        left=read_text(LEFT, root) or "",
        record=Record("kernel_cmdline", root).read(),
        administrator=grub_config.evaluate(root, others, DROPIN, ""),
    )


def _content(root: Path, path: str) -> str | None:
    """The file as it is, to the byte where it is UTF-8."""
    try:
        return below(root, path).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"{path} can't be read: {error.strerror}", error.errno) from error


def ours(text: str | None) -> list[Argument]:
    """The arguments in a drop-in of ours."""
    return kernel_arguments.read(of_dropin(text or ""))


def dropin(arguments: Sequence[Argument]) -> str | None:
    """Content of the drop-in; None when it is not needed."""
    if not arguments:
        return None
    return (
        "# Kernel arguments that the Capstan capture appliance needs: written by its deployment, removed by its\n"
        "# rollback. Arguments of your own belong into another file; run update-grub afterwards.\n"
        f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {kernel_arguments.shown(arguments)}"\n'
    )


def script(entry: str, boot: str, old: Sequence[Argument], new: Sequence[Argument]) -> str:
    """The generator of the trial entry, which grub-mkconfig runs.

    Args:
        entry: id of the default entry, whose kernel the trial boots.
        boot: id of the boot in which the trial was asked for.
        old: the arguments that the drop-in has.
        new: those to try in their place.

    """
    before = f" {kernel_arguments.shown(old)}" if old else ""
    after = f" {kernel_arguments.shown(new)}" if new else ""
    return f"""\
#!/bin/sh
# One menu entry for the trial boot of a kernel command line: the default entry with other arguments. Written by the
# deployment of the Capstan capture appliance, removed when the host has come back, or by the rollback.
# boot: {boot}
# arguments:{after}
set -e
before='{before}'
after='{after}'
line="$GRUB_CMDLINE_LINUX "
if [ -n "$before" ]; then
\tcase $line in
\t*"$before "*) line="${{line%%"$before "*}} ${{line#*"$before "}}" ;;
\tesac
fi
export GRUB_CMDLINE_LINUX="$line$after"
"${{0%/*}}/10_linux" | awk -v id='{entry}' '
\t!found && $1 == "menuentry" && index($0, "\\047" id "\\047") {{
\t\tfound = inside = 1
\t\t# With a password of GRUB only an unrestricted entry boots while nobody is at the console.
\t\twho = / --unrestricted / ? " --unrestricted" : ""
\t\tprint "menuentry \\047Capstan: trial of a kernel command line\\047" who " $menuentry_id_option \\047{TRIAL}\\047 {{"
\t\tnext
\t}}
\tinside {{ print }}
\tinside && $1 == "}}" {{ inside = 0 }}
'
"""


def decide(state: State, wanted: Sequence[Wanted], *, trial: bool, root: Path) -> Plan:
    """What is to be done, so that the host boots with these arguments.

    Args:
        state: the host as it is.
        wanted: the arguments; none takes ours away.
        trial: try a changed line once before it becomes the default's.
        root: put before the settings files, which are evaluated.

    Raises:
        HostError: an argument contradicts a line of the administrator's, a file read after ours undoes it, or the line
            has been tried and did not hold.

    """
    mine = _not_there_yet(state, wanted, root)
    old = ours(state.files[DROPIN])
    changed = dropin(mine) != dropin(old)
    running = kernel_arguments.read(kernel_arguments.split(state.running))
    removed = _leaving(state, old, mine)
    held = not kernel_arguments.lacking(mine, running) and kernel_arguments.lacking(removed, running) == removed
    waits = trial and changed and not held
    files: dict[str, str | None] = {DROPIN: state.files[DROPIN] if waits else dropin(mine), SCRIPT: None}
    arm = False
    if waits:
        files[SCRIPT], arm = _trial(state, old, mine)
    _effective(root, files[DROPIN], [] if waits else wanted)

    line = [*old, *_common(state, wanted)] if waits else [item.argument for item in wanted]
    disarm = not waits and (NEXT_ENTRY in (state.record or {}) or state.environment.get(NEXT_ENTRY) == TRIAL)
    plan = Plan(
        files=files,
        line=line,
        gone=removed,
        trial=mine if waits else None,
        generate=False,
        arm=arm,
        disarm=disarm,
        left=[] if waits else [argument for argument in removed if not kernel_arguments.lacking([argument], running)],
        reasons=_reasons(state, wanted, removed, running, waits=waits),
    )
    stale = (
        files != dict(state.files)
        or UNFINISHED in (state.record or {})
        or (not wanted and state.record is not None)
        or (bool(wanted or old) and mistakes(plan, state.config, state.environment) != [])
    )
    return replace(plan, generate=stale)


def _common(state: State, wanted: Sequence[Wanted]) -> list[Argument]:
    """Wanted arguments that the administrator's own line has."""
    line = _line(state.administrator)
    return [item.argument for item in wanted if not kernel_arguments.lacking([item.argument], line)]


def _line(settings: Sequence[grub_config.Settings]) -> list[Argument]:
    return kernel_arguments.read(kernel_arguments.split(settings[-1].line)) if settings else []


def _not_there_yet(state: State, wanted: Sequence[Wanted], root: Path) -> list[Argument]:
    """The arguments that are not the administrator's already, who keeps his."""
    theirs = kernel_arguments.effective(_line(state.administrator))
    for item in wanted:
        other = theirs.get(item.argument.key, item.argument.text)
        if other != item.argument.text:
            where = _origin(state.administrator, item.argument.key, other, root)
            raise HostError(
                f"{where} has {other}, which contradicts {item.argument.text} ({item.reason}); "
                f"remove {other} there, or what asks for {item.argument.text} from the inventory"
            )
    return [item.argument for item in wanted if item.argument.key not in theirs]


def _leaving(state: State, old: Sequence[Argument], mine: Sequence[Argument]) -> list[Argument]:
    """Arguments of ours that the host is to have no more; what its administrator has set since stays on, as his."""
    line = _line(state.administrator)
    return [one for one in old if one not in mine and kernel_arguments.lacking([one], line)]


def _origin(settings: Sequence[grub_config.Settings], key: str, text: str, root: Path) -> str:
    """File and line in which the administrator's argument came about."""
    origin = settings[-1].file
    for after in reversed(settings):
        line = kernel_arguments.read(kernel_arguments.split(after.line))
        if kernel_arguments.effective(line).get(key) != text:
            break
        origin = after.file
    number = grub_config.line_of(root, origin, text.rsplit(maxsplit=1)[-1])
    return f"{origin}, line {number}," if number else origin


def _effective(root: Path, text: str | None, wanted: Sequence[Wanted]) -> None:
    """Try the settings with the drop-in as it will be: a file that is read after ours may set the line anew."""
    if text is None or not wanted:
        return
    files = sorted({*grub_config.settings_files(root), DROPIN})
    settings = grub_config.evaluate(root, files, DROPIN, text)
    arguments = [item.argument for item in wanted]
    for after in settings[files.index(DROPIN) :]:
        lost = kernel_arguments.lacking(arguments, _line([after]))
        if lost:
            raise HostError(
                f"{after.file} takes {kernel_arguments.shown(lost)} off the command line again; "
                'have it append, as in GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX ..."'
            )


def _trial(state: State, old: Sequence[Argument], new: Sequence[Argument]) -> tuple[str, bool]:
    """Content of the trial's script, and whether GRUB is still to be told of it."""
    known = state.files[SCRIPT]
    if known is not None:
        boot, arguments = _SCRIPT_BOOT.search(known), of_trial(known)
        if boot and arguments is not None and " ".join(arguments) == kernel_arguments.shown(new):
            armed = state.environment.get(NEXT_ENTRY) == TRIAL
            if armed or boot[1] == state.boot:
                return known, not armed
            record = state.record or {}
            # A reset before GRUB was told leaves its variable as it was; GRUB leaves it empty.
            if UNFINISHED not in record or state.environment.get(NEXT_ENTRY) != record.get(NEXT_ENTRY):
                raise HostError(_not_held(" ".join(arguments)))
    chosen = grub_config.default_entry(state.config, state.environment)
    if chosen is None or not chosen.generated:
        raise HostError(no_default(chosen))
    if state.environment.get(NEXT_ENTRY, TRIAL) not in ("", TRIAL):
        raise HostError(
            f"capture_kernel.trial: GRUB is told already to boot {state.environment[NEXT_ENTRY]} next; "
            "boot that first, or run grub-editenv /boot/grub/grubenv unset next_entry"
        )
    return script(chosen.id, state.boot, old, new), True


def _not_held(arguments: str) -> str:
    return (
        f"capture_kernel.trial: the host was booted with {arguments or 'no arguments of ours'} and runs without: it "
        "did not come back, or was booted once more before the deployment confirmed it; it runs its former line. "
        "Correct capture_kernel, or roll the role kernel_cmdline back to try the same again"
    )


def no_default(entry: grub_config.Entry | None) -> str:
    """The sentence for a default entry that is not update-grub's."""
    name = f"the entry {entry.title!r}" if entry else "an entry without a Linux kernel"
    return (
        f"GRUB boots {name} by default, which update-grub does not make of the settings in /etc/default; "
        "choose one of Debian's own in GRUB_DEFAULT of /etc/default/grub, or pass the arguments there by hand"
    )


def mistakes(plan: Plan, config: str, environment: Mapping[str, str]) -> list[str]:
    """What a grub.cfg has not as the plan wants it; empty when it has."""
    there = grub_config.entries(config)
    generated = [entry for entry in there if entry.generated]
    if not generated:
        return ["it has no Linux entry of update-grub's"]
    gone: Sequence[Argument] = plan.gone if plan.trial is None else []
    found = [mistake for entry in generated for mistake in _mistakes_of(entry, plan.line, gone)]
    chosen = grub_config.default_entry(config, environment)
    if plan.line and (chosen is None or not chosen.generated):
        found.append(no_default(chosen))
    trial = [entry for entry in there if entry.id == TRIAL]
    if plan.trial is None:
        return [*found, "it still has the entry of the trial boot"] if trial else found
    if len(trial) != 1:
        return [*found, "it has no entry for the trial boot"]
    return [*found, *_mistakes_of(trial[0], plan.trial, plan.gone)]


def _mistakes_of(entry: grub_config.Entry, wanted: Sequence[Argument], gone: Sequence[Argument]) -> list[str]:
    line = kernel_arguments.read(entry.line)
    lost = kernel_arguments.lacking(wanted, line)
    kept = [argument for argument in gone if not kernel_arguments.lacking([argument], line)]
    found = [f"the entry {entry.title!r} lacks {kernel_arguments.shown(lost)}"] if lost else []
    return [*found, f"the entry {entry.title!r} still has {kernel_arguments.shown(kept)}"] if kept else found


def _reasons(
    state: State, wanted: Sequence[Wanted], removed: Sequence[Argument], running: Sequence[Argument], *, waits: bool
) -> list[dict[str, object]]:
    """Why the running kernel is not the configured one."""
    comes = "the next boot tries it once" if waits else "the next boot brings it"
    found: list[dict[str, object]] = [
        {
            "reason": f"the running kernel lacks {item.argument.text} ({item.reason}); {comes}",
            "essential": item.essential,
        }
        for item in wanted
        if kernel_arguments.lacking([item.argument], running)
    ]
    theirs = _line(state.administrator)
    keys = {item.argument.key for item in wanted} | {argument.key for argument in theirs}
    left = [*removed, *kernel_arguments.read(kernel_arguments.split(state.left))]
    for argument in dict.fromkeys(left):
        if argument.key not in keys and not kernel_arguments.lacking([argument], running):
            reason = f"the running kernel still has {argument.text}, which the appliance no longer wants"
            found.append({"reason": reason, "essential": False})
    return found
