"""Hugepages: nobody's are taken, too few are an error with figures, and what was there before comes back."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.capstan.appliance.plugins.module_utils.host import hugepages as plan
from ansible_collections.capstan.appliance.plugins.module_utils.host import record
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError
from ansible_collections.capstan.appliance.plugins.modules import hugepages
from cut_off import ResetError, ending, without_records
from hugepage_host import GIB, MIB, HugepageHost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SERVICE = "etc/systemd/system/capstan-hugepages.service"
MOUNT = {"size": GIB, "path": "/dev/hugepages1G"}


def pages(node: int, count: int, size: int = 2 * MIB) -> dict[str, int]:
    return {"size": size, "node": node, "pages": count}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HugepageHost:
    host = HugepageHost(tmp_path)
    monkeypatch.setattr(record, "put", host.put)
    monkeypatch.setattr(plan, "_PAUSE_SECONDS", 0)
    return host


def run(
    host: HugepageHost, *wanted: Mapping[str, int], mounts: list[Any] | None = None, check: bool = False
) -> dict[str, Any]:
    return hugepages.run(host.root, wanted, mounts or [], check_mode=check)


def refused(host: HugepageHost, *wanted: Mapping[str, int], **how: Any) -> str:
    before = host.snapshot()
    with pytest.raises(HostError) as error:
        run(host, *wanted, **how)
    assert without_records(host.snapshot()) == without_records(before), "something was changed"
    return str(error.value)


def test_each_node_gets_its_pages_and_a_second_run_changes_nothing(host: HugepageHost) -> None:
    before = host.snapshot()
    told = run(host, pages(0, 512), pages(1, 256), check=True)
    assert host.snapshot() == before
    done = run(host, pages(0, 512), pages(1, 256))
    assert done["changed"]
    assert told["diff"] == done["diff"]
    assert (host.count(0), host.count(1)) == (512, 256)
    after = host.snapshot()
    assert not run(host, pages(0, 512), pages(1, 256))["changed"]
    assert host.snapshot() == after


def test_pages_in_use_by_others_are_theirs_and_free_ones_count(host: HugepageHost) -> None:
    host.have(0, 100, used=60)
    host.have(1, 600)
    run(host, pages(0, 512), pages(1, 512))
    assert (host.count(0), host.count(1)) == (572, 600)


def test_pages_that_others_have_reserved_are_theirs_too(host: HugepageHost) -> None:
    host.have(0, 100)
    host.write("sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "30\n")
    run(host, pages(0, 512))
    assert host.count(0) == 542


def test_our_own_use_is_not_taken_for_others(host: HugepageHost) -> None:
    run(host, pages(0, 512))
    host.have(0, 512, used=512)
    assert not run(host, pages(0, 512))["changed"]


def test_the_rollback_gives_back_what_was_there(host: HugepageHost) -> None:
    host.have(0, 100, used=60)
    before = host.snapshot()
    run(host, pages(0, 512), pages(1, 4), mounts=[MOUNT])
    assert run(host, check=True)["changed"]
    run(host)
    assert host.snapshot() == before
    assert not run(host)["changed"]


def test_fewer_pages_never_take_those_in_use(host: HugepageHost) -> None:
    run(host, pages(0, 512))
    host.have(0, 512, used=400)
    result = run(host, pages(0, 100))
    assert host.count(0) == 400
    assert result["notes"] == ["node 0 keeps 400 pages of 2 MiB, which are in use"]
    host.have(0, 400)
    run(host, pages(0, 100))
    assert host.count(0) == 100


def test_a_node_that_is_no_longer_wanted_gets_back_what_it_had(host: HugepageHost) -> None:
    host.have(1, 7)
    run(host, pages(0, 512), pages(1, 512))
    run(host, pages(0, 512))
    assert (host.count(0), host.count(1)) == (512, 7)


def test_compaction_and_then_dropped_caches_help_and_are_told(host: HugepageHost) -> None:
    host.room[0], host.compacted = 300, 212
    assert run(host, pages(0, 512))["notes"] == []
    host.room[1], host.compacted, host.cached = 300, 0, 212
    notes = run(host, pages(0, 512), pages(1, 512))["notes"]
    assert notes == ["memory of node 1 was in pieces: the page cache was dropped to get the hugepages"]
    assert (host.count(0), host.count(1)) == (512, 512)


def test_too_few_pages_are_an_error_with_figures_and_nothing_is_without_records(host: HugepageHost) -> None:
    host.have(1, 8)
    host.room[1] = 300
    sentence = refused(host, pages(0, 512), pages(1, 512))
    assert sentence.startswith(
        "capture_hugepages.per_node: node 1 got 292 of 504 more pages of 2 MiB (300 of 512 in all)"
    )


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (
            [pages(0, 20000)],
            "20000 pages of 2 MiB on node 0 take 39.1 GiB more, and of its 64 GiB of memory 32 GiB are available, "
            "2 GiB of which stay for the system; write at most {0: 15360}, or add memory",
        ),
        ([pages(7, 1)], "NUMA node 7 is not on this host, which has 0, 1; write pages of those"),
        ([pages(0, 1, 64 << 10)], "capture_hugepages.size: this kernel has no pages of 64 KiB"),
        ([pages(0, 1), pages(0, 2)], "pages of 2 MiB on node 0 are wanted twice"),
    ],
)
def test_what_a_host_has_not_is_refused(host: HugepageHost, wanted: list[Any], words: str) -> None:
    assert words in refused(host, *wanted)


def test_a_machine_without_numa_has_one_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = HugepageHost(tmp_path, nodes=0)
    monkeypatch.setattr(record, "put", host.put)
    run(host, pages(0, 64))
    assert (tmp_path / "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages").read_text() == "64\n"


# Pages of 1 GiB


def test_large_pages_come_with_a_boot_and_are_never_written(host: HugepageHost) -> None:
    result = run(host, pages(0, 2, GIB))
    assert not result["changed"]
    assert result["reboot_reasons"] == [
        {
            "reason": "node 0 has 0 of 2 pages of 1 GiB (capture_hugepages.per_node), which come with a boot",
            "essential": True,
        }
    ]
    host.write("proc/cmdline", "quiet hugepagesz=1G hugepages=0:2,1:1\n")
    host.have(0, 2, size=1 << 20)
    assert run(host, pages(0, 2, GIB))["reboot_reasons"] == []
    assert len(run(host, pages(1, 2, GIB))["reboot_reasons"]) == 1, "more than it was booted for"
    assert "node 1 has 0 pages of 1 GiB, and the kernel was asked for 1" in refused(host, pages(1, 1, GIB))
    assert host.written == []


# At boot


def test_the_unit_adds_what_is_missing_at_boot_and_fails_where_it_gets_too_few(
    host: HugepageHost, tmp_path: Path
) -> None:
    run(host, pages(0, 512))
    unit = (host.root / SERVICE).read_text()
    assert (host.root / "etc/systemd/system/sysinit.target.wants/capstan-hugepages.service").is_symlink()
    assert "After=systemd-sysctl.service" in unit
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    directory = tmp_path / "node"
    directory.mkdir()
    script = line.split("'")[1].replace("$$", "$")
    assert line.split("'")[2].split() == ["hugepages", f"/{host.path(0, 'nr').rpartition('/')[0]}", "512"]
    for there, exits, holds in (("0", 0, "512"), ("600", 0, "600")):
        (directory / "nr_hugepages").write_text(f"{there}\n")
        done = subprocess.run(["/bin/sh", "-c", script, "hugepages", str(directory), "512"], check=False)
        assert (done.returncode, (directory / "nr_hugepages").read_text().strip()) == (exits, holds)
    # A kernel that has no more: what is written changes nothing.
    (directory / "nr_hugepages").write_text("300\n")
    short = script.replace('>"$1/nr_hugepages"', ">/dev/null")
    done = subprocess.run(
        ["/bin/sh", "-c", short, "hugepages", str(directory), "512"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (1, f"{directory} has 300 of 512 pages\n")


def test_a_node_that_is_short_at_boot_keeps_no_pages_from_the_others(host: HugepageHost, tmp_path: Path) -> None:
    run(host, pages(0, 512), pages(1, 64))
    lines = [line for line in (host.root / SERVICE).read_text().splitlines() if line.startswith("ExecStart=")]
    assert len(lines) == 1, "systemd runs no command after one that fails"
    script, nodes = lines[0].split("'")[1].replace("$$", "$"), lines[0].split("'")[2].split()[1:]
    assert nodes[1::2] == ["512", "64"]
    short, other = tmp_path / "short", tmp_path / "other"
    short.mkdir()
    other.mkdir()
    # What is written there changes nothing, as with a kernel that has no more.
    (short / "nr_hugepages").symlink_to("/dev/null")
    (other / "nr_hugepages").write_text("0\n")
    done = subprocess.run(
        ["/bin/sh", "-c", script, "hugepages", short, "512", other, "64"], check=False, stderr=subprocess.DEVNULL
    )
    assert done.returncode == 1
    assert (other / "nr_hugepages").read_text() == "64\n"


def test_a_mount_that_is_there_is_left_alone(host: HugepageHost) -> None:
    host.write("proc/self/mounts", "hugetlbfs /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0\n")
    before = host.snapshot()
    assert not run(host, mounts=[{"size": 2 * MIB, "path": "/dev/hugepages"}])["changed"]
    assert host.snapshot() == before


def test_a_mount_that_is_missing_becomes_a_unit(host: HugepageHost) -> None:
    run(host, mounts=[MOUNT])
    unit = (host.root / "etc/systemd/system/dev-hugepages1G.mount").read_text()
    assert "Where=/dev/hugepages1G\nType=hugetlbfs\nOptions=pagesize=1G,mode=0700\n" in unit
    assert not run(host, mounts=[MOUNT])["changed"]
    host.write("busy", "")
    assert "target is busy" in refused(host)


def test_a_path_is_escaped_as_systemd_does() -> None:
    mount = hugepages.Mount("/mnt/huge-pages/.a b", GIB, "", there=False)
    assert mount.unit == r"mnt-huge\x2dpages-\x2ea\x20b.mount"


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ("hugetlbfs /dev/hugepages1G hugetlbfs rw,pagesize=2M 0 0\n", "has hugepages of 2 MiB; unmount it"),
        ("tmpfs /dev/hugepages1G tmpfs rw 0 0\n", "has a tmpfs; unmount it"),
    ],
)
def test_something_else_at_the_path_is_refused(host: HugepageHost, there: str, words: str) -> None:
    host.write("proc/self/mounts", there)
    assert words in refused(host, mounts=[MOUNT])


def test_a_group_that_is_not_there_is_refused(host: HugepageHost) -> None:
    assert "the group no-such of the mount /dev/hugepages1G" in refused(host, mounts=[{**MOUNT, "group": "no-such"}])


def test_without_systemd_fstab_has_the_mount_and_the_boot_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = HugepageHost(tmp_path, systemd=False)
    monkeypatch.setattr(record, "put", host.put)
    host.write("etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n\n\n")
    before = host.snapshot()
    result = run(host, pages(0, 4), mounts=[MOUNT])
    assert "hugetlbfs /dev/hugepages1G hugetlbfs pagesize=1G,mode=0700 0 0\n" in (tmp_path / "etc/fstab").read_text()
    assert result["notes"] == [hugepages.NO_SYSTEMD]
    assert not run(host, pages(0, 4), mounts=[MOUNT])["changed"]
    run(host)
    assert host.snapshot() == before


# Failures at every step


@pytest.mark.parametrize("error", [ResetError, OSError])
@pytest.mark.parametrize("back", [False, True])
def test_whatever_fails_the_next_run_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], back: bool
) -> None:
    monkeypatch.setattr(plan, "_PAUSE_SECONDS", 0)
    wanted = (pages(0, 512), pages(1, 256))
    for step in range(200):
        host = HugepageHost(tmp_path / str(step))
        monkeypatch.setattr(record, "put", host.put)
        host.have(0, 100, used=60)
        found = host.snapshot()
        if back:
            run(host, *wanted, mounts=[MOUNT])
        before = host.snapshot()
        with ending(monkeypatch, step, error) as done:
            try:
                run(host, *(() if back else wanted), mounts=[] if back else [MOUNT])
            except ResetError:
                pass
            except HostError:
                assert back or without_records(host.snapshot()) == without_records(before), (
                    f"{done[step]} (step {step}) was not undone"
                )
        if not back:
            run(host, *wanted, mounts=[MOUNT])
            assert (host.count(0), host.count(1)) == (572, 256)
            assert not run(host, *wanted, mounts=[MOUNT])["changed"]
        run(host)
        assert without_records(host.snapshot()) == found, f"{done[step : step + 1]} (step {step})"
        if len(done) <= step:
            return
    pytest.fail("the run has no end")


def test_pages_that_could_not_be_given_back_after_a_failure_are_by_the_next_run(host: HugepageHost) -> None:
    host.have(0, 100, used=60)
    found = host.snapshot()
    host.write("systemctl-fails", "")
    host.fail_at = 2  # after both nodes have theirs and the mount has failed: the last node's go back first
    with pytest.raises(HostError, match=r"could not be undone: .*node1.*\. /var/lib/capstan-host/hugepages\.json rem"):
        run(host, pages(0, 512), pages(1, 256), mounts=[MOUNT])
    assert (host.count(0), host.count(1)) == (100, 256)
    assert set(record.Record("hugepages", host.root).read() or {}) == {"2097152 bytes on node 1"}
    (host.root / "systemctl-fails").unlink()
    run(host, pages(0, 512), pages(1, 256))
    assert (host.count(0), host.count(1)) == (572, 256)
    run(host)
    assert host.snapshot() == found


def test_a_mount_that_could_not_be_undone_after_a_failure_goes_with_the_next_run(host: HugepageHost) -> None:
    found = host.snapshot()
    run(host, mounts=[MOUNT])
    host.write("systemctl-fails", "")
    assert "remembers how it was" not in refused(host, mounts=[MOUNT, {**MOUNT, "path": "/dev/others"}])
    (host.root / "systemctl-fails").unlink()
    host.write("busy", "")
    with pytest.raises(HostError, match=r"target is busy.*could not be undone: .*target is busy"):
        run(host, mounts=[{**MOUNT, "path": "/dev/others"}])
    (host.root / "busy").unlink()
    run(host)
    assert host.snapshot() == found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(
    there=st.integers(0, 300),
    share=st.floats(0, 1),
    first=st.integers(0, 400),
    second=st.integers(0, 400),
)
def test_others_keep_their_pages_and_we_get_ours(
    tmp_path_factory: pytest.TempPathFactory, there: int, share: float, first: int, second: int
) -> None:
    host = HugepageHost(tmp_path_factory.mktemp("host"), nodes=1)
    used = int(there * share)
    host.have(0, there, used=used)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "put", host.put)
        for ours in (first, second):
            run(host, pages(0, ours))
            assert host.count(0) == max(there, used + ours)
        run(host)
    assert host.count(0) == there
