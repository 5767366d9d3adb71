"""The kernel command line: planned by argument, written so that every reset boots, tried once where asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.capstan.appliance.plugins.module_utils.host import grub_config, kernel_arguments
from ansible_collections.capstan.appliance.plugins.module_utils.host.own_arguments import own_arguments
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError
from ansible_collections.capstan.appliance.plugins.modules import kernel_cmdline
from cut_off import ResetError, ending, without_records
from grub_host import DEVICE, GrubHost
from hypothesis import given
from hypothesis import strategies as st

DROPIN = "etc/default/grub.d/zz-capstan.cfg"
SCRIPT = "etc/grub.d/42_capstan_trial"
CONFIG = "boot/grub/grub.cfg"


def argument(text: str, reason: str = "capture_kernel.arguments", *, essential: bool = False) -> dict[str, Any]:
    return {"argument": text, "reason": reason, "essential": essential}


ISOLATION = [argument("isolcpus=managed_irq,domain,2-3", "capture_kernel.isolate_cpus"), argument("nohz_full=2-3")]
IOMMU = argument("intel_iommu=on", "capture_kernel.iommu", essential=True)


@pytest.fixture
def host(tmp_path: Path) -> GrubHost:
    return GrubHost(tmp_path)


def run(host: GrubHost, *entries: dict[str, Any], trial: bool = False, check: bool = False) -> dict[str, Any]:
    return kernel_cmdline.run(host.root, entries, trial=trial, check_mode=check)


def lines(host: GrubHost) -> dict[str, list[str]]:
    return {entry.id: list(entry.line) for entry in grub_config.entries(host.read(CONFIG))}


def refused(host: GrubHost, *entries: dict[str, Any], **how: Any) -> str:
    before = host.snapshot()
    with pytest.raises(HostError) as error:
        run(host, *entries, **how)
    assert host.snapshot() == before, "something was changed"
    return str(error.value)


# What a line says


def test_a_line_is_compared_by_argument_and_never_by_text() -> None:
    line = kernel_arguments.read(kernel_arguments.split('isolcpus=2-31 xnohz=on dyndbg="file x +p" quiet'))
    wanted = kernel_arguments.read(["isolcpus=2-3", "nohz=on", "quiet", "p"])
    assert [item.text for item in kernel_arguments.lacking(wanted, line)] == ["isolcpus=2-3", "nohz=on", "p"]


def test_the_last_of_two_counts_and_dashes_are_underscores() -> None:
    line = kernel_arguments.read(["processor.max-cstate=1", "processor.max_cstate=9"])
    assert kernel_arguments.lacking(kernel_arguments.read(["processor.max_cstate=1"]), line) != []


def test_hugepages_belong_to_the_size_before_them() -> None:
    line = kernel_arguments.read(["hugepagesz=2M", "hugepages=512", "hugepagesz=1G", "hugepages=4"])
    assert kernel_arguments.lacking(kernel_arguments.read(["hugepagesz=1G", "hugepages=4"]), line) == []
    assert kernel_arguments.lacking(kernel_arguments.read(["hugepagesz=2M", "hugepages=4"]), line) != []


@given(st.lists(st.sampled_from(["a=1", "b", "console=tty0", "console=ttyS0", "hugepagesz=1G", "hugepages=2"])))
def test_nothing_of_a_line_is_lost_when_it_is_read(words: list[str]) -> None:
    assert kernel_arguments.shown(kernel_arguments.read(words)).split() == words


# What update-grub makes


def test_the_default_is_found_by_number_title_and_id(host: GrubHost) -> None:
    for default, expected in (
        ("0", f"gnulinux-simple-{DEVICE}"),
        ("1>2", f"gnulinux-6.1.0-30-amd64-advanced-{DEVICE}"),
        (f"gnulinux-advanced-{DEVICE}>gnulinux-6.1.0-30-amd64-advanced-{DEVICE}", None),
        ("Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 6.1.0-30-amd64", None),
        ("gone", f"gnulinux-simple-{DEVICE}"),
    ):
        text = host.read(CONFIG).replace('set default="0"', f'set default="{default}"')
        found = grub_config.default_entry(text, {})
        assert found is not None
        assert found.id == (expected or f"gnulinux-6.1.0-30-amd64-advanced-{DEVICE}")


def test_a_saved_default_is_read_from_the_environment(host: GrubHost) -> None:
    text = host.read(CONFIG).replace('set default="0"', 'set default="${saved_entry}"')
    found = grub_config.default_entry(text, {"saved_entry": "1>0"})
    assert found is not None
    assert found.id == f"gnulinux-6.1.0-44-amd64-advanced-{DEVICE}"


# Configuring


def test_every_kernel_gets_the_arguments_and_a_second_run_changes_nothing(host: GrubHost) -> None:
    result = run(host, *ISOLATION, IOMMU)
    assert result["changed"]
    for identity, line in lines(host).items():
        wanted = {"isolcpus=managed_irq,domain,2-3", "nohz_full=2-3", "intel_iommu=on"}
        assert wanted <= set(line), identity
    assert {reason["essential"] for reason in result["reboot_reasons"]} == {True, False}
    after = host.snapshot()
    assert not run(host, *ISOLATION, IOMMU)["changed"]
    assert host.snapshot() == after


def test_check_mode_tells_and_changes_nothing(host: GrubHost) -> None:
    before = host.snapshot()
    told = run(host, *ISOLATION, check=True)
    assert host.snapshot() == before
    done = run(host, *ISOLATION)
    assert told["changed"]
    assert told["diff"] == done["diff"]
    assert told["reboot_reasons"] == done["reboot_reasons"]


def test_no_reason_is_left_after_the_boot_and_the_next_kernel_has_the_arguments_too(host: GrubHost) -> None:
    run(host, *ISOLATION)
    host.boot()
    assert run(host, *ISOLATION)["reboot_reasons"] == []
    host.write("boot/vmlinuz-6.1.0-45-amd64", "kernel")
    host.update()  # as the package's postinst does
    assert "nohz_full=2-3" in lines(host)[f"gnulinux-6.1.0-45-amd64-advanced-{DEVICE}"]
    assert not run(host, *ISOLATION)["changed"]


def running_of_ours(host: GrubHost) -> tuple[str, ...]:
    """What the planner takes for ours of the running line; grubby's record is its keys."""
    record = host.read("var/lib/capstan-host/kernel_cmdline.json")
    return own_arguments(host.read("proc/cmdline").split(), host.root, json.loads(record) if record else {})


@pytest.mark.parametrize("trial", [False, True])
def test_ours_is_known_from_the_boot_that_brings_it_to_the_boot_that_ends_it(host: GrubHost, trial: bool) -> None:
    words = tuple(entry["argument"] for entry in ISOLATION)
    run(host, *ISOLATION, trial=trial)
    assert running_of_ours(host) == ()
    host.boot()
    assert running_of_ours(host) == words
    run(host, *ISOLATION, trial=trial)
    assert running_of_ours(host) == words
    run(host, ISOLATION[0])
    assert running_of_ours(host) == words
    run(host)
    assert running_of_ours(host) == words
    host.boot()
    assert running_of_ours(host) == ()


def test_an_entry_that_lacks_an_argument_is_made_anew(host: GrubHost) -> None:
    run(host, *ISOLATION)
    text = host.read(CONFIG)
    cut = text.rindex(" nohz_full=2-3")
    host.write(CONFIG, text[:cut] + text[cut + len(" nohz_full=2-3") :], 0o444)
    run(host, *ISOLATION)
    host.write(CONFIG, text.replace(" nohz_full=2-3", "", 1), 0o444)
    assert run(host, *ISOLATION)["changed"]
    assert host.read(CONFIG) == text


def test_what_the_administrator_has_is_left_to_him(host: GrubHost) -> None:
    host.write("etc/default/grub", 'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX="intel_iommu=on"\n')
    host.update()
    run(host, *ISOLATION, IOMMU)
    assert "intel_iommu" not in host.read(DROPIN)
    assert lines(host)[f"gnulinux-simple-{DEVICE}"].count("intel_iommu=on") == 1
    run(host)
    assert "intel_iommu=on" in lines(host)[f"gnulinux-simple-{DEVICE}"]


def test_the_menu_keeps_its_language_and_the_file_its_mode(host: GrubHost) -> None:
    run(host, *ISOLATION)
    assert "set lang=de_DE\n" in host.read(CONFIG)
    assert (host.root / CONFIG).stat().st_mode & 0o777 == 0o444


def test_the_rollback_leaves_the_host_as_it_was_and_tells_what_still_runs(host: GrubHost) -> None:
    before = host.snapshot()
    run(host, *ISOLATION)
    host.boot()
    run(host, ISOLATION[0])
    result = run(host)
    assert [reason["reason"] for reason in result["reboot_reasons"]] == [
        "the running kernel still has isolcpus=managed_irq,domain,2-3, which the appliance no longer wants",
        "the running kernel still has nohz_full=2-3, which the appliance no longer wants",
    ]
    again = run(host)
    assert not again["changed"]
    assert len(again["reboot_reasons"]) == 2
    host.boot()
    assert run(host)["reboot_reasons"] == []
    after = host.snapshot()
    changing = {"proc/sys/kernel/random/boot_id"}
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} <= changing | {"run"}


# Refusing


def test_another_value_of_the_administrators_is_refused_with_file_and_line(host: GrubHost) -> None:
    host.write("etc/default/grub.d/tuned.cfg", '# isolcpus=1\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX isolcpus=1"\n')
    sentence = refused(host, *ISOLATION)
    assert sentence.startswith("/etc/default/grub.d/tuned.cfg, line 2, has isolcpus=1, which contradicts isolcpus=mana")


def test_a_file_that_takes_ours_away_is_refused(host: GrubHost) -> None:
    host.write("etc/default/grub.d/zzz.cfg", "GRUB_CMDLINE_LINUX=foo\n")
    assert refused(host, IOMMU).startswith("/etc/default/grub.d/zzz.cfg takes intel_iommu=on off the command line")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([argument("isolcpus=1", "a"), argument("isolcpus=2", "b")], "isolcpus=1 (a) and isolcpus=2 (b) contradict"),
        ([argument("foo=$(reboot)")], "'foo=$(reboot)' can't be passed to a kernel"),
        ([argument("hugepages=4")], "says no size of page"),
    ],
)
def test_arguments_that_cannot_be_are_refused(host: GrubHost, entries: list[dict[str, Any]], words: str) -> None:
    assert words in refused(host, *entries)


def test_settings_that_no_shell_reads_are_refused(host: GrubHost) -> None:
    host.write("etc/default/grub.d/bad.cfg", 'GRUB_CMDLINE_LINUX="\n')
    assert refused(host, IOMMU).startswith("/etc/default/grub.d/bad.cfg can't be read by a shell")


@pytest.mark.parametrize("how", ["exit", "syntax", "ignores output", "no entries"])
def test_when_update_grub_fails_everything_is_as_it_was(host: GrubHost, how: str) -> None:
    if how == "exit":
        host.write("etc/grub.d/45_bad", "#!/bin/sh\necho the disk is odd >&2\nexit 3\n", 0o755)
    if how == "syntax":
        host.write("etc/grub.d/45_bad", "#!/bin/sh\necho SYNTAX\n", 0o755)
    if how == "ignores output":
        text = host.read("usr/sbin/update-grub")
        host.write("usr/sbin/update-grub", text.replace("$root/boot/grub/grub.cfg", '$output" "$@'), 0o755)
        host.write("usr/sbin/update-grub", text.replace('"$@"', "", 1), 0o755)
    if how == "no entries":
        host.write("etc/grub.d/10_linux", "#!/bin/sh\n", 0o755)
    sentence = refused(host, IOMMU)
    assert {
        "exit": "exit code 3 (the disk is odd)",
        "syntax": "Syntax errors are detected",
        "ignores output": "does not write where --output says",
        "no entries": "it has no Linux entry of update-grub's",
    }[how] in sentence


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("run/systemd/container", "systemd-nspawn", "this is a container"),
        (
            "sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
            "\x06\0\0\0s\0y\0s\0t\0e\0m\0d\0-\0b\0o\0o\0t\0 \0002\0005\0002\0\0\0",
            "boots by systemd-boot",
        ),
    ],
)
def test_what_grub_does_not_boot_is_refused(host: GrubHost, path: str, text: str, words: str) -> None:
    host.write(path, text)
    assert words in refused(host, IOMMU)
    assert not run(host)["changed"]


def test_a_disk_made_of_a_containers_image_is_no_container(host: GrubHost) -> None:
    host.write(".dockerenv", "")
    assert run(host, IOMMU)["changed"]
    run(host)
    (host.root / CONFIG).unlink()
    assert "this is a container" in refused(host, IOMMU)


def test_without_a_boot_loader_the_running_line_counts(host: GrubHost) -> None:
    (host.root / CONFIG).unlink()
    assert "no boot loader that is known here" in refused(host, IOMMU)
    host.write("proc/cmdline", "console=ttyS0 intel_iommu=on")
    result = run(host, IOMMU)
    assert (result["changed"], result["reboot_reasons"]) == (False, [])


# Trial


def test_a_trial_that_comes_back_becomes_the_default(host: GrubHost) -> None:
    before = host.snapshot()
    told = run(host, *ISOLATION, trial=True, check=True)
    assert host.snapshot() == before
    done = run(host, *ISOLATION, trial=True)
    assert told["diff"] == done["diff"]
    simple = f"gnulinux-simple-{DEVICE}"
    assert "nohz_full=2-3" not in lines(host)[simple]
    assert "nohz_full=2-3" in lines(host)["capstan-trial"]
    assert not run(host, *ISOLATION, trial=True)["changed"], "it waits for the boot"
    host.boot()
    assert "nohz_full=2-3" not in lines(host)[simple], "a reset before the confirmation boots the old line"
    assert run(host, *ISOLATION, trial=True)["changed"]
    assert "nohz_full=2-3" in lines(host)[simple]
    assert "capstan-trial" not in lines(host)
    assert "next_entry" not in host.read("boot/grub/grubenv")
    assert run(host, *ISOLATION, trial=True) | {"running": ""} == {
        "changed": False,
        "diff": [],
        "configured": " ".join(lines(host)[simple]),
        "running": "",
        "notes": [],
        "reboot_reasons": [],
        "reboot_required": False,
        "msg": "kernel arguments: isolcpus=managed_irq,domain,2-3 nohz_full=2-3",
    }


def test_a_trial_that_does_not_come_back_boots_the_old_line_and_is_told(host: GrubHost) -> None:
    run(host, *ISOLATION, trial=True)
    host.boot(dies=True)
    assert "nohz_full" not in host.read("proc/cmdline")
    sentence = refused(host, *ISOLATION, trial=True)
    assert sentence.startswith("capture_kernel.trial: the host was booted with isolcpus=managed_irq,domain,2-3 nohz_fu")
    assert run(host, ISOLATION[0], trial=True)["changed"], "a corrected line is tried"


def test_a_trial_asks_for_no_password_where_the_default_entry_asks_for_none(host: GrubHost) -> None:
    """With superusers set, GRUB boots an entry without --unrestricted only for somebody at the console."""
    run(host, *ISOLATION, trial=True)
    trial = next(line for line in host.read(CONFIG).splitlines() if "capstan-trial" in line)
    assert "--unrestricted" not in trial
    run(host)
    linux = host.read("etc/grub.d/10_linux")
    open_linux = linux.replace("--class gnu-linux", "--class gnu-linux --unrestricted")
    host.write("etc/grub.d/10_linux", open_linux, 0o755)
    run(host, *ISOLATION, trial=True)
    trial = next(line for line in host.read(CONFIG).splitlines() if "capstan-trial" in line)
    assert trial.startswith("menuentry 'Capstan: trial of a kernel command line' --unrestricted $menuentry_id_option")
    host.boot()
    assert "nohz_full=2-3" in host.read("proc/cmdline")


def test_a_trial_takes_arguments_away_too(host: GrubHost) -> None:
    run(host, *ISOLATION)
    host.boot()
    run(host, IOMMU, trial=True)
    host.boot()
    assert "isolcpus" not in host.read("proc/cmdline")
    assert run(host, IOMMU, trial=True)["reboot_reasons"] == []
    assert "isolcpus" not in host.read(CONFIG)


@pytest.mark.parametrize("booted", [False, True])
def test_the_rollback_of_a_trial_leaves_nothing(host: GrubHost, booted: bool) -> None:
    before = host.snapshot()
    run(host, *ISOLATION, trial=True)
    if booted:
        host.boot(dies=True)
    run(host)
    after = host.snapshot()
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed <= {"proc/sys/kernel/random/boot_id"}


def test_a_trial_is_refused_where_grub_could_not_end_it(host: GrubHost) -> None:
    host.write("fs", "btrfs\n")
    assert "on which GRUB can't write" in refused(host, *ISOLATION, trial=True)


def test_a_next_entry_of_the_administrators_is_not_overwritten(host: GrubHost) -> None:
    host.write("boot/grub/grubenv", "# GRUB Environment Block\nnext_entry=1>2\n" + "#" * 980)
    assert "GRUB is told already to boot 1>2 next" in refused(host, *ISOLATION, trial=True)


# The administrator sets what we have set


ADMINISTRATOR = 'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX="intel_iommu=on"\n'
PASS_THROUGH = argument("iommu=pt", "capture_kernel.iommu")


@pytest.fixture(params=[False, True], ids=["not generated", "generated"])
def taken_over(host: GrubHost, request: pytest.FixtureRequest) -> GrubHost:
    """A host that runs our arguments, one of which its administrator has set since, with or without update-grub."""
    run(host, IOMMU, PASS_THROUGH)
    host.boot()
    host.write("etc/default/grub", ADMINISTRATOR)
    if request.param:
        host.update()
    return host


@pytest.mark.parametrize("trial", [False, True])
def test_what_the_administrator_sets_after_us_becomes_his(taken_over: GrubHost, trial: bool) -> None:
    told = run(taken_over, IOMMU, PASS_THROUGH, trial=trial, check=True)
    done = run(taken_over, IOMMU, PASS_THROUGH, trial=trial)
    assert (told["changed"], told["reboot_reasons"]) == (True, done["reboot_reasons"])
    assert own_arguments(["intel_iommu=on", "iommu=pt"], taken_over.root, ()) == ("iommu=pt",)
    for identity, line in lines(taken_over).items():
        assert (line.count("intel_iommu=on"), line.count("iommu=pt")) == (1, 1), identity
    assert done["reboot_reasons"] == [], "the running kernel has both, so there is nothing to try either"
    after = taken_over.snapshot()
    assert not run(taken_over, IOMMU, PASS_THROUGH, trial=trial)["changed"]
    assert taken_over.snapshot() == after


@pytest.mark.parametrize("again", [False, True])
def test_the_rollback_leaves_the_administrator_what_he_set_after_us(taken_over: GrubHost, again: bool) -> None:
    if again:
        run(taken_over, IOMMU, PASS_THROUGH)
    told = run(taken_over, check=True)
    done = run(taken_over)
    assert (told["changed"], told["reboot_reasons"]) == (True, done["reboot_reasons"])
    assert [reason["reason"] for reason in done["reboot_reasons"]] == [
        "the running kernel still has iommu=pt, which the appliance no longer wants"
    ]
    assert taken_over.read(DROPIN) == ""
    for identity, line in lines(taken_over).items():
        assert (line.count("intel_iommu=on"), line.count("iommu=pt")) == (1, 0), identity
    assert not run(taken_over)["changed"]
    taken_over.boot()
    assert run(taken_over)["reboot_reasons"] == []


def test_a_trial_tries_the_rest_beside_what_the_administrator_set_after_us(taken_over: GrubHost) -> None:
    simple = f"gnulinux-simple-{DEVICE}"
    run(taken_over, IOMMU, *ISOLATION, trial=True)
    assert "iommu=pt" in lines(taken_over)[simple]
    assert lines(taken_over)["capstan-trial"].count("intel_iommu=on") == 1
    assert "iommu=pt" not in lines(taken_over)["capstan-trial"]
    assert not run(taken_over, IOMMU, *ISOLATION, trial=True)["changed"], "it waits for the boot"
    taken_over.boot()
    result = run(taken_over, IOMMU, *ISOLATION, trial=True)
    assert (result["changed"], result["reboot_reasons"]) == (True, [])
    assert lines(taken_over)[simple].count("intel_iommu=on") == 1
    assert "iommu=pt" not in lines(taken_over)[simple]
    assert not run(taken_over, IOMMU, *ISOLATION, trial=True)["changed"]


# Resets and failures at every step


JOBS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "first": (ISOLATION, {}),
    "trial": (ISOLATION, {"trial": True}),
    "rollback": ([], {}),
}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("error", [ResetError, OSError])
def test_whatever_fails_the_host_boots_and_the_next_run_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str, error: type[BaseException]
) -> None:
    entries, how = JOBS[job]
    first = GrubHost(tmp_path / "first")
    whole = {first.read(CONFIG)}
    if job == "rollback":
        run(first, *ISOLATION)
        whole.add(first.read(CONFIG))
    before = first.snapshot()
    complete = GrubHost(tmp_path / "complete", first)
    run(complete, *entries, **how)
    whole.add(complete.read(CONFIG))
    for step in range(200):
        host = GrubHost(tmp_path / str(step), first)
        with ending(monkeypatch, step, error) as done:
            try:
                run(host, *entries, **how)
            except ResetError:
                pass
            except HostError:
                assert without_records(host.snapshot()) == without_records(before), (
                    f"{job}: {done[step]} (step {step}) was not undone"
                )
        ended = len(done) <= step
        now = host.read(CONFIG)
        assert now in whole, f"{job}: half a grub.cfg after {done[step]} (step {step})"
        host.boot()
        run(host, *entries, **how)
        host.boot()
        run(host, *entries, **how)
        line = lines(host)[f"gnulinux-simple-{DEVICE}"]
        assert ("nohz_full=2-3" in line) is bool(entries)
        assert not run(host, *entries, **how)["changed"]
        if ended:
            return
    pytest.fail("the job has no end")
