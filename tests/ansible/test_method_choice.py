"""What `auto` came to is kept on the host, and neither forgotten nor rewritten without a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.capstan.appliance.plugins.module_utils.host.means_read import CHOICES, read_record
from ansible_collections.capstan.appliance.plugins.modules.method_choice import remember

ONE = {"method": "af_xdp", "nature": "8086:1592", "settings": {"queues": "auto", "expected_pps": None}}
TWO = {"method": "dpdk", "nature": "8086:10fb", "settings": {"queues": 4, "expected_pps": 14_000_000}}


def ports(folder: Path) -> dict[str, Any]:
    found = read_record(folder / CHOICES)
    return {} if found is None else found["ports"]


def test_a_choice_is_written_once(tmp_path: Path) -> None:
    folder = tmp_path / "capstan/advice"
    first = remember({"ens1": ONE}, folder, write=True)
    assert (first["changed"], first["diff"]) == (True, {"before": "", "after": "ens1: af_xdp\n"})
    (written,) = ports(folder).values()
    assert {key: written[key] for key in ONE} == ONE
    assert len(written["since"].split("-")) == 3
    before = (folder / CHOICES).stat()
    assert remember({"ens1": ONE}, folder, write=True)["changed"] is False
    assert (folder / CHOICES).stat() == before


def test_a_port_that_keeps_its_choice_keeps_its_date(tmp_path: Path) -> None:
    remember({"ens1": ONE}, tmp_path, write=True)
    old = {"version": 1, "ports": {"ens1": {**ONE, "since": "2020-02-02"}}}
    (tmp_path / CHOICES).write_text(json.dumps(old))
    remember({"ens1": ONE, "ens2": TWO}, tmp_path, write=True)
    assert ports(tmp_path)["ens1"]["since"] == "2020-02-02"
    assert ports(tmp_path)["ens2"]["since"] > "2020-02-02"
    changed = remember({"ens1": TWO}, tmp_path, write=True)
    assert changed["diff"] == {"before": "ens1: af_xdp\nens2: dpdk\n", "after": "ens1: dpdk\n"}
    assert ports(tmp_path)["ens1"]["since"] > "2020-02-02"


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    assert remember({"ens1": ONE}, tmp_path / "advice", write=False)["changed"] is True
    assert list(tmp_path.iterdir()) == []


def test_without_a_port_the_record_goes_and_what_was_measured_stays(tmp_path: Path) -> None:
    folder = tmp_path / "advice"
    remember({"ens1": ONE}, folder, write=True)
    (folder / "measured.json").write_text("{}")
    assert remember({}, folder, write=True)["changed"] is True
    assert [path.name for path in folder.iterdir()] == ["measured.json"]
    (folder / "measured.json").unlink()
    remember({"ens1": ONE}, folder, write=True)
    remember({}, folder, write=True)
    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "ports": {}}'])
def test_what_is_no_record_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / CHOICES).write_text(text)
    with pytest.raises(ValueError, match=r"choices\.json is no record of this version of Capstan's; remove it"):
        remember({"ens1": ONE}, tmp_path, write=True)
