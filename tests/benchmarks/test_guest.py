"""Free memory of a guest stays with it while it is measured, and the setting is given back."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import guest


def test_the_order_is_given_back_however_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "_MOST_BYTES", 1 << 20)
    order = tmp_path / "order"
    order.write_text("9\n")
    told: list[str] = []

    def interrupted() -> None:
        with guest.memory_kept(told.append, order) as state:
            assert (state, order.read_text()) == (guest.KEPT, "11")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert order.read_text().strip() == "9" and len(told) == 1


def test_a_machine_that_gives_nothing_back_is_left_alone(tmp_path: Path) -> None:
    with guest.memory_kept(pytest.fail, tmp_path / "none") as state:
        assert state is None


def test_a_kernel_that_refuses_is_told(tmp_path: Path) -> None:
    class Refuses(type(tmp_path)):  # type: ignore[misc]
        def write_text(self, *_: object, **__: object) -> int:
            raise OSError(22, "Invalid argument")

    order = tmp_path / "order"
    order.write_text("9")
    with guest.memory_kept(pytest.fail, Refuses(order)) as state:
        assert state == guest.GIVEN_BACK
    assert order.read_text() == "9"
