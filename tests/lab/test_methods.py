"""What the engine says of its methods holds together, every mode is tested, and the documents say the same."""

from __future__ import annotations

import json
import re

import programs
import pytest
from methods import ELSEWHERE, EVERY, told
from methods_document import PROJECT, tables, written

FEATURES = ("kernel_filter", "hardware_time", "zero_copy", "multi_queue", "paced_by_engine", "netdev")
MODES = [(name, mode["name"]) for name, method in told().items() for mode in method["modes"]]


def test_every_mode_of_every_method_is_tested() -> None:
    here = {(driver.method, driver.mode) for driver in EVERY}
    built = {(name, mode) for name, mode in MODES if told()[name]["loadable"]}
    assert here | set(ELSEWHERE) == set(MODES)
    assert not here & set(ELSEWHERE)
    assert {name for name, _ in built} == set(told()), "a method is not built: run ./test"


@pytest.mark.parametrize("place", ELSEWHERE.values(), ids=lambda place: place.partition(":")[0])
def test_what_is_said_to_be_tested_elsewhere_has_a_place_there(place: str) -> None:
    path = place.partition(":")[0]
    assert (PROJECT / "tests/lab" / path).exists() or (PROJECT / path).is_dir()


@pytest.mark.parametrize("name", told())
def test_a_method_can_do_what_one_of_its_modes_can(name: str) -> None:
    method = told()[name]
    names = [mode["name"] for mode in method["modes"]]
    assert names and len(set(names)) == len(names)
    for feature in FEATURES:
        assert method[feature] == any(mode[feature] for mode in method["modes"]), feature


def test_drops_stand_under_names_that_the_ledger_has() -> None:
    layout = json.loads(programs.run(programs.engine(), "--ledger-layout").stdout)
    drops = {field["name"] for field in _fields(layout) if field["role"] == "drop"}
    for method in told().values():
        assert set(method["drops"]) <= drops, method["name"]


def _fields(value: object) -> list[dict[str, str]]:
    """Every counter of the layout, wherever it lies."""
    if isinstance(value, list):
        return [field for item in value for field in _fields(item)]
    if not isinstance(value, dict):
        return []
    if "role" in value:
        return [value]
    return [field for item in value.values() for field in _fields(item)]


def test_the_tables_of_the_document_are_what_the_engine_says() -> None:
    assert written() == tables(), "run: .venv/bin/python tests/lab/methods_document.py --write"


def test_the_readme_names_no_drop_that_the_method_does_not_count() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", text, re.MULTILINE))
    assert set(rows) == {*told(), "auto"}
    for name, method in told().items():
        assert set(re.findall(r"`(\w+)`", rows[name])) <= set(method["drops"]), name


def test_methods_are_told_to_people_as_well() -> None:
    said = programs.run(programs.engine(), "--methods").stdout
    for name, method in told().items():
        assert name in said
        for words in (method["summary"], method["drop_counters"], method["blind"], method["needs"] or ""):
            assert words in said
