"""The report: what it says when all is well, and that it does not say so when it is not."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from capstan.cli import main
from conftest import Host

SENT: dict[str, Any] = {"accepted": 1000, "refused": 3, "pps": 50_000.0}
FOUND: dict[str, Any] = {"distinct": 990, "doubled": 0, "damaged": 0, "out_of_order": 0, "unreadable": []}


def totals(**counts: Any) -> dict[str, Any]:
    nothing = {"wire": 0, "delivered": 0, "filtered": 0, "dropped": {}, "unaccounted": 0, "delivered_bytes": 0}
    return {**nothing, **counts}


def status(**counts: Any) -> dict[str, Any]:
    return {
        "host": "r1",
        "started": "2026-01-01T00:00:00Z",
        "method": "af_packet",
        "effective_mode": "tpacket_v3",
        "degraded": [],
        "files": ["/data/old.pcapng"],
        "totals": totals(**counts),
        "devices": {},
    }


def report(
    tmp_path: Path, after: dict[str, Any], found: dict[str, Any] | None = None, before: Any = None
) -> tuple[Result, dict[str, Any]]:
    words = ["report", "--seconds", "61.5", "--report", str(tmp_path / "report.json")]
    for name, document in (("sent", SENT), ("after", after), ("check", found), ("before", before)):
        if document is not None:
            (tmp_path / name).write_text(json.dumps(document))
            words += [f"--{name}", str(tmp_path / name)]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result, json.loads((tmp_path / "report.json").read_text())


def device(**lost: int) -> dict[str, Any]:
    return {"cap0": {"lost": lost, "counted": {"rx_good": 5}, "left_out": 0}}


def test_what_the_device_lost_meanwhile_is_reported_by_its_own_names(host: Host, tmp_path: Path) -> None:
    before = {**status(wire=500, delivered=500), "devices": device(rx_crc_errors=2, rx_missed=7)}
    after = {**status(wire=1500, delivered=1490), "devices": device(rx_crc_errors=2, rx_missed=11)}
    result, document = report(tmp_path, after, FOUND, before)
    assert document["devices"] == {"cap0": {"lost": {"rx_missed": 4}, "counted": {}, "left_out": 0}}
    assert "cap0: rx_missed" in result.output
    assert "rx_crc_errors" not in result.output


def test_the_targets_are_reported_where_there_are_some(host: Host, tmp_path: Path) -> None:
    after = {**status(wire=1000, delivered=1000), "targets": {"count": 3, "active": 2}}
    result, document = report(tmp_path, after, FOUND)
    assert document["targets"]["count"] == 3
    assert "targets in force, 2 active" in result.output
    result, document = report(tmp_path, status(wire=1000, delivered=1000), FOUND)
    assert document["targets"] is None
    assert "targets" not in result.output


def test_the_difference_to_before_is_reported(host: Host, tmp_path: Path) -> None:
    before = status(wire=500, delivered=400, dropped={"ring_full": 100})
    after = status(wire=1500, delivered=1390, dropped={"ring_full": 104, "no_block": 6})
    after["files"] = ["/data/old.pcapng", "/data/new file.pcapng"]
    result, document = report(tmp_path, after, FOUND, before)
    assert {key: document[key] for key in ("sent", "delivered", "filtered", "unaccounted", "seconds")} == {
        "sent": 1000, "delivered": 990, "filtered": 0, "unaccounted": 0, "seconds": 61.5,
    }  # fmt: skip
    assert document["dropped"] == {"ring_full": 4, "no_block": 6}
    assert document["files"] == ["/data/new file.pcapng"]
    assert (document["closes"], document["confirmed"]) == (True, True)
    assert "Each of the 1 000 packets is accounted for, 10 dropped with a cause" in result.output
    assert "tcpdump -nr '/data/new file.pcapng'" in result.output
    assert "./quickstart --remove" in result.output
    assert "refused 3 more" in result.output


def test_a_capture_that_began_anew_has_no_before(host: Host, tmp_path: Path) -> None:
    before = {**status(wire=999), "started": "2025-01-01T00:00:00Z"}
    _, document = report(tmp_path, status(wire=1000, delivered=1000), None, before)
    assert document["wire"] == 1000
    assert document["confirmed"] is None


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({"wire": 990, "delivered": 990}, "1 000 packets were sent and 990 reached the port"),
        ({"wire": 1000, "delivered": 990, "unaccounted": 10}, "The balance does not close"),
    ],
)
def test_a_balance_that_does_not_close_is_told(
    host: Host, tmp_path: Path, counts: dict[str, Any], sentence: str
) -> None:
    result, document = report(tmp_path, status(**counts), FOUND)
    assert sentence in result.output
    assert document["closes"] is False
    assert "Each of the" not in result.output


@pytest.mark.parametrize("flaw", [{"distinct": 989}, {"doubled": 1}, {"damaged": 1}, {"unreadable": [{"file": "x"}]}])
def test_files_that_do_not_hold_what_was_delivered_are_told(host: Host, tmp_path: Path, flaw: dict[str, Any]) -> None:
    after = status(wire=1000, delivered=990, filtered=10)
    result, document = report(tmp_path, after, {**FOUND, **flaw})
    assert document["confirmed"] is False
    assert "✘ Read back" in result.output


def test_documents_that_are_none_are_refused(host: Host, tmp_path: Path) -> None:
    (tmp_path / "sent").write_text("[]")
    assert CliRunner().invoke(main, ["report", "--sent", str(tmp_path / "sent")]).exit_code == 2
    (tmp_path / "sent").write_text("{}")
    (tmp_path / "after").write_text(json.dumps(status()))
    refused = CliRunner().invoke(main, ["report", "--sent", str(tmp_path / "sent"), "--after", str(tmp_path / "after")])
    assert refused.exit_code == 2
    assert "does not find 'accepted'" in refused.stderr
