"""`capstan advise`: what a person types and sees. What it measures is tested in the lab, with the real engine."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from capstan import advise_measure
from capstan.advise_report import fleet_table
from capstan.cli import main
from capstan.errors import OperatorError
from capstan.files import PidLock
from capstan.machine_read import read_machine
from capstan.means import Measured
from conftest import Host
from machines import machine

MEASURED = Measured(
    host="test",
    kernel=read_machine().kernel_release,
    engine="0.1.0",
    date="2026-01-01 00:00 UTC",
    processor="a processor",
    pipeline=20_000_000,
    output=5_000_000,
    output_bytes=500_000_000,
    directory="/srv/captures",
    lab={"af_packet": 1_500_000},
)


def capstan(*words: str) -> Result:
    return CliRunner().invoke(main, ["advise", *words], catch_exceptions=False)


def document(*words: str) -> dict[str, Any]:
    told = capstan(*words, "--json")
    assert told.exit_code == 0, told.output
    found: dict[str, Any] = json.loads(told.output)
    return found


def test_a_host_without_settings_has_every_nic_judged(host: Host) -> None:
    host.paths.config.unlink()
    found = document()
    judged = {port["pci"] for port in found["ports"] if port["pci"]}
    assert judged == {nic.pci for nic in read_machine().nics}
    assert capstan().output.splitlines() == found["text"]


@pytest.mark.root
def test_the_ports_of_the_settings_are_judged_and_nothing_is_changed(host: Host, veth_lab: str) -> None:
    settings = {"netns": veth_lab, "interfaces": [{"name": "cap0", "expected_pps": 100_000}], "method": "af_xdp"}
    host.configure(**settings)
    before = sorted(host.paths.root.rglob("*"))
    found = document()
    (port,) = found["ports"]
    assert (port["port"], port["driver"], port["asked"], port["chosen"]) == ("cap0", "veth", "af_xdp", "af_packet")
    assert sorted(host.paths.root.rglob("*")) == before
    lines = found["text"]
    assert any(line.startswith("*  1  af_packet") for line in lines)
    assert max(map(len, lines)) <= 92
    everything = document("--all")
    assert {port["pci"] for port in everything["ports"] if port["pci"]} == {nic.pci for nic in read_machine().nics}


@pytest.mark.root
def test_what_was_measured_counts_from_then_on(host: Host, veth_lab: str) -> None:
    host.configure(netns=veth_lab, interfaces=[{"name": "cap0"}], method="auto")
    advise_measure.keep(host.paths, MEASURED)
    found = document()
    rates = {c["method"]: (c["pps_per_core"], c["figures"]) for c in found["ports"][0]["candidates"]}
    assert rates["af_packet"] == (1_500_000, "measured")
    assert rates["af_xdp"][1] == rates["pcap"][1] == "pipeline"
    text = " ".join(" ".join(found["text"]).split())
    assert "Measured on 2026-01-01 00:00 UTC with the engine 0.1.0 on a processor: 20 M/s of one core" in text
    assert "no method helps where all of that is kept: /srv/captures took 5 M/s of the smallest packets" in text
    advise_measure.keep(host.paths, replace(MEASURED, kernel="4.19.0"))
    again = document()
    assert {c["figures"] for c in again["ports"][0]["candidates"]} <= {"prior", None}
    assert "under kernel 4.19.0" in " ".join(again["notes"])


@pytest.mark.parametrize(
    ("words", "told", "code"),
    [
        (["--lab"], "--lab is a part of measuring; write --measure --lab.", 2),
        (["--config", "/nowhere.yml"], "/nowhere.yml: cannot be read", 2),
        (["--measure"], "did not tell the layout of its ledger", 1),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(host: Host, words: list[str], told: str, code: int) -> None:
    host.paths.engine.unlink()
    result = capstan(*words)
    assert (result.exit_code, told in result.output) == (code, True), result.output
    assert not host.paths.advice.exists()


def test_nothing_is_measured_beside_a_capture(host: Host) -> None:
    lock = PidLock(host.paths.pid)
    assert lock.acquire()
    try:
        result = capstan("--measure")
    finally:
        lock.release()
    assert result.exit_code == 1
    assert f"A capture runs here (pid {os.getpid()})" in result.output


def test_a_damaged_record_is_told_with_its_path(host: Host) -> None:
    host.paths.advice.mkdir(parents=True)
    (host.paths.advice / "measured.json").write_text("{}")
    result = capstan()
    assert result.exit_code == 1
    assert f"{host.paths.advice}/measured.json is no record of this version of Capstan's; remove it." in result.output


def test_a_full_disk_is_not_filled_further(host: Host, tmp_path: Path) -> None:
    config = host.configure(output={"directory": str(tmp_path), "min_free": "900TiB"})
    room = advise_measure._room(config)
    with pytest.raises(OperatorError, match=r"and measuring takes 128 MiB; free some space"):
        room.__enter__()
    assert list(tmp_path.iterdir()) == []


def test_a_fleet_has_a_line_for_each_port_and_host() -> None:
    port: dict[str, Any] = {
        "port": "ens1",
        "driver": "ice",
        "speed": 100_000,
        "expected_pps": 148_809_523,
        "refusals": [],
        "chosen": "af_xdp",
        "candidates": [
            {"method": "dpdk", "mode": "", "pps": 429_000_000, "needs": "reboot", "figures": "prior"},
            {"method": "af_xdp", "mode": "zero-copy", "pps": 59_500_000, "needs": "nothing", "figures": "prior"},
        ],
    }
    refused = {**port, "port": "eth0", "refusals": ["eth0 carries the default route"], "chosen": None, "candidates": []}
    none = {**port, "port": "ens2", "chosen": None}
    kept = {
        **port,
        "port": "ens3",
        "candidates": [{**port["candidates"][0], "needs": "nothing"}, port["candidates"][1]],
    }
    lines = fleet_table(
        [
            {"host": "probe-a", "ports": [port, refused, none, kept]},
            {"host": "probe-b", "ports": []},
            {"host": "probe-c", "problem": "unreachable: no route to host"},
        ]
    )
    assert lines == (
        "host     port  to take, M/s  auto takes         M/s  better, M/s",
        "probe-a  ens1           149  af_xdp zero-copy  59.5  dpdk 429, a reboot",
        "probe-a  eth0           149  not for capture      -  -",
        "probe-a  ens2           149  none                 -  -",
        "probe-a  ens3           149  af_xdp zero-copy  59.5  dpdk 429, at hand",
        "",
        "probe-b: there is no NIC to be judged on this host",
        "probe-c: unreachable: no route to host",
    )


def test_the_directory_that_was_written_to_is_named_where_the_outputs_own_does_not_exist(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tmp_path / "not/there"
    monkeypatch.setattr(advise_measure, "_replay", lambda *_, **__: (1_000_000, 100_000_000))
    monkeypatch.setattr(advise_measure, "_version", lambda _: "0.1.0")
    made = machine(4)

    def measure() -> Measured:
        return advise_measure.measure(host.paths, host.configure(output={"directory": str(wanted)}), made, 0.1)

    above = measure()
    assert (above.directory, above.missing) == (str(tmp_path), str(wanted))
    assert above.place == f"{tmp_path} ({wanted} did not exist yet)"
    assert Measured.from_json(above.to_json()) == above
    wanted.mkdir(parents=True)
    there = measure()
    assert (there.directory, there.missing, there.place) == (str(wanted), "", str(wanted))
