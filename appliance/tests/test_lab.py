"""The lab goes whole, whatever becomes of it meanwhile."""

from __future__ import annotations

import os

import pytest
from pyroute2 import IPRoute

from capstan import lab, namespaces

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


class _Late(IPRoute):  # type: ignore[misc] # pyroute2 is untyped
    """Finds an interface that is gone when something is done to it."""

    def link_lookup(self, **_filter: str) -> list[int]:
        return [1 << 20]


def test_a_wire_that_the_kernel_removes_meanwhile_is_no_trouble(veth_lab: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(lab, "IPRoute", _Late)
        assert lab.down(veth_lab)
    assert not namespaces.exists(veth_lab)
    assert not namespaces.exists(f"{veth_lab}-tx")
    assert lab.status(veth_lab).state == "down"
