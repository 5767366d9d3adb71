"""What was built is known by its sources and its files; what a host lacks is known by names and versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.capstan.appliance.plugins.action.dist_files import pack
from ansible_collections.capstan.appliance.plugins.lookup.source_digest import digest_of
from ansible_collections.capstan.appliance.plugins.module_utils import dist, packages
from ansible_collections.capstan.appliance.plugins.modules import record_lines
from ansible_collections.capstan.appliance.plugins.modules.dist_files import unpack
from cut_off import ResetError, ending


def tree(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.c").write_text("int a;\n")
    (folder / "b").mkdir()
    (folder / "b/build").write_text("#!/bin/sh\n")
    return folder


def test_the_digest_is_of_names_modes_and_contents(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first, second = tree(tmp_path / "one/native"), tree(tmp_path / "two/native")
    assert digest_of([first]) == digest_of([second])
    digests = {digest_of([first]), digest_of([first], salt="libpcap0.8 (>= 1.5.1)")}
    (second / "a.c").write_text("int b;\n")
    digests.add(digest_of([second]))
    (second / "a.c").rename(second / "c.c")
    digests.add(digest_of([second]))
    (second / "b/build").chmod(0o755)
    digests.add(digest_of([second]))
    assert len(digests) == 5


def test_the_digest_ignores_what_tools_leave_behind(tmp_path: Path) -> None:
    native = tree(tmp_path / "native")
    before = digest_of([native])
    (native / "__pycache__").mkdir()
    (native / "__pycache__/a.pyc").write_text("")
    assert digest_of([native]) == before


def test_a_part_is_whole_until_a_file_is_missing_or_another(tmp_path: Path) -> None:
    wheel = tmp_path / "wheelhouse/click-8.5.1-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_text("wheel")
    assert "never built" in str(dist.damage(tmp_path, dist.read(tmp_path), "wheelhouse"))
    manifest = dist.record(tmp_path, dist.read(tmp_path), "wheelhouse", "digest")
    assert dist.damage(tmp_path, manifest, "wheelhouse") is None
    described = manifest["parts"]["wheelhouse"]["files"][wheel.name]
    assert (described["package"], described["version"]) == ("click", "8.5.1")
    wheel.write_text("another")
    assert "not the file that was built" in str(dist.damage(tmp_path, manifest, "wheelhouse"))
    wheel.unlink()
    assert "is missing" in str(dist.damage(tmp_path, manifest, "wheelhouse"))


ENGINE = {"engine.deb": {"package": "capstan-engine", "version": "0.1.0+b"}}
LIBRARIES = {
    "pcap.deb": {"package": "libpcap0.8", "version": "1.10.3-1"},
    "xdp.deb": {"package": "libxdp1", "version": "1.3.1-1"},
}


def test_a_fresh_host_gets_everything_and_remembers_it() -> None:
    files = packages.missing({}, ENGINE, LIBRARIES)
    assert files == ["engine.deb", "pcap.deb", "xdp.deb"]
    assert packages.to_remember({}, files, ENGINE, LIBRARIES) == ["capstan-engine", "libpcap0.8", "libxdp1"]


def test_a_library_of_the_host_stays_whatever_its_version() -> None:
    there = {"libpcap0.8": "1.10.9-1"}
    files = packages.missing(there, ENGINE, LIBRARIES)
    assert files == ["engine.deb", "xdp.deb"]
    assert packages.to_remember(there, files, ENGINE, LIBRARIES) == ["capstan-engine", "libxdp1"]


def test_another_build_of_the_engine_replaces_it_and_the_record_stays() -> None:
    there = {"capstan-engine": "0.1.0+a", "libpcap0.8": "1.10.3-1", "libxdp1": "1.3.1-1"}
    files = packages.missing(there, ENGINE, LIBRARIES)
    assert files == ["engine.deb"]
    assert packages.to_remember(there, files, ENGINE, LIBRARIES) == []
    assert packages.missing({**there, "capstan-engine": "0.1.0+b"}, ENGINE, LIBRARIES) == []


def test_a_removed_package_whose_settings_stay_is_not_installed() -> None:
    listing = "ii \tlibpcap0.8\t1.10.3-1\nrc \tlibxdp1\t1.3.1-1\nhi \theld\t1\n"
    assert packages.installed(listing) == {"libpcap0.8": "1.10.3-1", "held": "1"}


def test_files_are_brought_as_one_archive_and_each_is_checked(tmp_path: Path) -> None:
    (tmp_path / "dist/engine").mkdir(parents=True)
    (tmp_path / "dist/engine/a.deb").write_text("package")
    archive, dest = tmp_path / "files.tar", tmp_path / "cache/capstan"
    pack(tmp_path / "dist", ["engine/a.deb"], archive)
    sums = {"engine/a.deb": dist.sha256(tmp_path / "dist/engine/a.deb")}
    assert unpack(archive, sums, dest) is None
    assert (dest / "engine/a.deb").read_text() == "package"
    assert dest.stat().st_mode & 0o777 == 0o700
    assert "another file" in str(unpack(archive, {"engine/a.deb": "0" * 64}, dest))
    assert "not in the archive" in str(unpack(archive, {"engine/b.deb": "0" * 64}, dest))


def test_nothing_of_an_earlier_deployment_stays_among_the_files(tmp_path: Path) -> None:
    (tmp_path / "dest/engine").mkdir(parents=True)
    (tmp_path / "dest/engine/old.deb").write_text("old")
    archive = tmp_path / "files.tar"
    pack(tmp_path, [], archive)
    assert unpack(archive, {}, tmp_path / "dest") is None
    assert list((tmp_path / "dest").iterdir()) == []


def test_what_is_installed_is_on_disk_before_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "packages"
    packages.remember(str(record), ["capstan-engine"])
    with ending(monkeypatch, 100, OSError) as done:
        packages.remember(str(record), ["capstan-engine", "libxdp1"])
    assert done == ["fchmod", "fsync", "replace", "fsync"]
    assert packages.remembered(str(record)) == ["capstan-engine", "libxdp1"]
    packages.forget(str(record))
    assert packages.remembered(str(record)) == []
    assert list(tmp_path.iterdir()) == []


def test_accounts_are_on_disk_before_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "accounts"
    assert record_lines.add(record, ["passwd capstan"], check=True) == ["passwd capstan"]
    assert not record.exists()
    record.write_text("group capstan\n")
    with ending(monkeypatch, 100, OSError) as done:
        assert record_lines.add(record, ["passwd capstan", "group capstan"], check=False) == ["passwd capstan"]
    assert done == ["fchmod", "fsync", "replace", "fsync"]
    assert record.read_text() == "group capstan\npasswd capstan\n"
    assert record_lines.add(record, ["passwd capstan"], check=False) == []


@pytest.mark.parametrize("step", range(4))
def test_a_reset_leaves_the_manifest_of_before_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    one, two = ({"format": dist.FORMAT, "parts": {name: {}}} for name in ("engine", "wheelhouse"))
    dist.write(tmp_path, one)
    with pytest.raises(ResetError), ending(monkeypatch, step, ResetError):
        dist.write(tmp_path, two)
    assert dist.read(tmp_path) in (one, two)


@pytest.mark.parametrize("step", range(4))
def test_a_reset_leaves_the_names_of_before_or_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    record = tmp_path / "packages"
    packages.remember(str(record), ["capstan-engine"])
    with pytest.raises(ResetError), ending(monkeypatch, step, ResetError):
        packages.remember(str(record), ["libxdp1"])
    assert packages.remembered(str(record)) in (["capstan-engine"], ["capstan-engine", "libxdp1"])
