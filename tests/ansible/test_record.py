"""The memory of how the host was: nothing is lost, overwritten or half written, however the machine ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.capstan.appliance.plugins.module_utils.host import record as module
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    HostError,
    Record,
    durable_remove,
    durable_write,
    read_text,
    sync,
    write_text,
)
from hypothesis import given, settings
from hypothesis import strategies as st

NODE = "/sys/class/net/eth1/mtu"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    return tmp_path


class ResetError(BaseException):
    """The machine ends here; nothing of the program runs any more."""


@contextlib.contextmanager
def reset_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[list[str]]:
    """Reset the machine before the step-th call by which the module changes the disk."""
    done: list[str] = []

    def counted(name: str, real: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if len(done) == step:
                raise ResetError(name)
            done.append(name)
            return real(*arguments, **keywords)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "mkdir", "rmdir", "chmod"):
            patch.setattr(Path, name, counted(name, getattr(Path, name)))
        for name in ("fsync", "fchmod"):
            patch.setattr(os, name, counted(name, getattr(os, name)))
        with contextlib.suppress(ResetError):
            yield done


def test_what_is_remembered_first_stays(host: Path) -> None:
    record = Record("nic_driver", host)
    assert record.read() is None
    assert record.remember({"0000:03:00.0": {"driver": "ixgbe"}})
    assert not record.remember({"0000:03:00.0": {"driver": "vfio-pci"}})
    assert record.remember({"0000:03:00.0": {"driver": "vfio-pci"}, "0000:03:00.1": {"driver": "i40e"}})
    assert Record("nic_driver", host).read() == {
        "0000:03:00.0": {"driver": "ixgbe"},
        "0000:03:00.1": {"driver": "i40e"},
    }


def test_only_root_reads_it(host: Path) -> None:
    umask = os.umask(0)
    try:
        Record("hugepages", host).remember({"a": 1})
    finally:
        os.umask(umask)
    directory = host / "var/lib/capstan-host"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "hugepages.json").stat().st_mode & 0o777 == 0o600


def test_the_directory_goes_with_the_last_record(host: Path) -> None:
    one, two = Record("one", host), Record("two", host)
    one.remember({"a": 1, "b": 2})
    two.remember({"a": 1})
    assert one.forget(["a", "other"])
    assert one.read() == {"b": 2}
    assert not one.forget(["a"])
    assert one.forget(["b"])
    assert one.read() is None
    assert two.forget()
    assert not (host / "var/lib/capstan-host").exists()
    assert not two.forget()


def test_the_record_of_another_stays(host: Path) -> None:
    record = Record("dpdk", host)
    record.remember({"a": 1})
    packages = host / "var/lib/capstan-host/packages-dpdk"
    packages.write_text("driverctl\n")
    record.forget()
    assert packages.exists()


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "\0"])
def test_a_file_that_is_no_record_stops_everything(host: Path, content: str) -> None:
    record = Record("nic_driver", host)
    record.remember({"a": 1})
    (host / "var/lib/capstan-host/nic_driver.json").write_text(content)
    for action in (record.read, record.forget, lambda: record.remember({"b": 1})):
        with pytest.raises(HostError, match=r"^/var/lib/capstan-host/nic_driver.json is no record of Capstan's"):
            action()
    assert (host / "var/lib/capstan-host/nic_driver.json").read_text() == content


def test_a_record_that_can_not_be_written_is_told(host: Path) -> None:
    (host / "var/lib").rmdir()
    (host / "var/lib").write_text("a file")
    with pytest.raises(HostError, match=r"^/var/lib/capstan-host can't be made: "):
        Record("nic_driver", host).remember({"a": 1})


@pytest.mark.parametrize("before", [{}, {"a": 1}])
@pytest.mark.parametrize("action", ["remember", "forget one", "forget"])
def test_a_reset_at_any_step_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: dict[str, int], action: str
) -> None:
    after = {"remember": {**before, "b": 2}, "forget one": {}, "forget": {}}[action]
    for step in range(100):
        host = tmp_path / str(step)
        (host / "var/lib").mkdir(parents=True)
        record = Record("nic_driver", host)
        record.remember(before)

        def act(record: Record = record) -> None:
            if action == "remember":
                record.remember({"b": 2})
            else:
                record.forget(["a"] if action == "forget one" else None)

        finished = False
        with reset_at(monkeypatch, step) as done:
            act()
            finished = True
        found = record.read()
        assert (found or {}) in (before, after)
        act()
        assert (record.read() or {}) == after
        # Nothing half written stays, either, and no empty directory.
        left = [path.name for path in (host / "var/lib").rglob("*")]
        assert sorted(left) == (["capstan-host", "nic_driver.json"] if after else [])
        if finished:
            assert len(done) == step
            return
    pytest.fail("the action never ended")


def test_content_is_on_disk_before_its_name_and_the_name_before_the_return(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reset_at(monkeypatch, 100) as done:
        durable_write("/etc/x", "text", 0o600, host)
    assert done == ["fchmod", "fsync", "replace", "fsync"]


def test_what_another_program_wrote_is_brought_to_disk(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (host / "etc/x").write_text("text")
    with reset_at(monkeypatch, 100) as done:
        sync("/etc/x", host)
    assert done == ["fsync", "fsync"]
    with pytest.raises(HostError, match=r"^/etc/none does not get to disk: No such file"):
        sync("/etc/none", host)


def test_durable_write_changes_only_what_differs(host: Path) -> None:
    assert durable_write("/etc/x", "text\n", 0o640, host)
    inode = (host / "etc/x").stat().st_ino
    assert not durable_write("/etc/x", "text\n", 0o640, host)
    assert (host / "etc/x").stat().st_ino == inode
    assert durable_write("/etc/x", "text\n", 0o600, host)
    assert durable_write("/etc/x", "other\n", 0o600, host)
    assert (host / "etc/x").read_text() == "other\n"
    assert durable_remove("/etc/x", host)
    assert not durable_remove("/etc/x", host)
    with pytest.raises(HostError, match=r"^/etc/none/x can't be written: No such file"):
        durable_write("/etc/none/x", "text", root=host)


def test_durable_write_follows_no_link_that_lies_in_wait(host: Path) -> None:
    victim = host / "victim"
    victim.write_text("untouched")
    (host / "etc/.x.capstan-new").symlink_to(victim)
    with pytest.raises(HostError, match="/etc/x can't be written"):
        durable_write("/etc/x", "text", root=host)
    assert victim.read_text() == "untouched"


@pytest.fixture
def node(host: Path) -> Path:
    path = host / NODE.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_text("1500\n")
    return path


def test_a_node_is_read_back(host: Path, node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(NODE, "9000", host)
    assert read_text(NODE, host) == "9000"
    monkeypatch.setattr(module, "put", round_down)
    with pytest.raises(HostError, match=r"^/sys/class/net/eth1/mtu holds '8192' after '9216' was written$"):
        write_text(NODE, "9216", host)
    write_text(NODE, "9216", host, read_back=False)


def test_a_node_that_is_not_there_or_refuses_is_named(host: Path, node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_text("/sys/class/net/eth9/mtu", host) is None
    with pytest.raises(HostError, match=r"^/sys/class/net/eth9/mtu does not take '1': No such file") as caught:
        write_text("/sys/class/net/eth9/mtu", "1", host)
    assert caught.value.errno == 2
    monkeypatch.setattr(module, "put", refuse)
    with pytest.raises(HostError, match="does not take '1': Device or resource busy") as caught:
        write_text(NODE, "1\n", host)
    assert caught.value.errno == 16


def round_down(path: Path, text: str) -> None:
    path.write_text(f"{int(text) // 4096 * 4096}\n")


def refuse(path: Path, text: str) -> None:
    raise OSError(16, os.strerror(16))


names = st.text("abc:.", min_size=1, max_size=3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("remember"), st.dictionaries(names, st.integers())),
        st.tuples(st.just("forget"), st.none() | st.lists(names)),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(steps)
def test_a_record_is_a_dictionary_whose_first_values_win(tmp_path_factory: pytest.TempPathFactory, steps: Any) -> None:
    host = tmp_path_factory.mktemp("host")
    (host / "var/lib").mkdir(parents=True)
    model: dict[str, int] = {}
    for action, argument in steps:
        before = dict(model)
        if action == "remember":
            model = {**argument, **model}
            assert Record("x", host).remember(argument) == (model != before)
        else:
            model = {} if argument is None else {key: model[key] for key in model if key not in argument}
            assert Record("x", host).forget(argument) == (model != before)
        assert (Record("x", host).read() or {}) == model
        assert (host / "var/lib/capstan-host").exists() == bool(model)
