"""The table in docs/host-plan.md, made of a described machine: `python tests/plan_document.py --write`."""

import re
import sys
from dataclasses import replace
from pathlib import Path

from capstan.config import CaptureConfig
from capstan.links import Link, Network
from capstan.planner import plan_host
from machines import GIB, machine, nic

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/host-plan.md"
_BLOCK = re.compile(r"(?<=```text\n).*?(?=```\n)", re.DOTALL)


def table() -> str:
    """The plan of a server with two sockets, sixteen cores of two threads each, and three NICs."""
    fast, second = nic(0, node=0, most=8), nic(1, node=1, most=64)
    edge = replace(nic(2, node=1, most=8, name="eno2"), driver="igb", kernel_driver="igb")
    host = machine(16, nodes=2, threads=2, memory=128 * GIB, nics=[fast, second, edge])
    network = Network(tuple(Link(str(known.interface), 2 + at, pci=known.pci) for at, known in enumerate(host.nics)))
    settings = {
        "host": "probe-core",
        "method": "dpdk",
        "interfaces": [
            {"pci": fast.pci},
            {"pci": second.pci, "queues": 4},
            {"name": "eno2", "method": "af_xdp", "queues": 2},
        ],
        "buffers": {"blocks_per_queue": 256},
    }
    return "\n".join(plan_host(CaptureConfig.model_validate(settings), host, network).text) + "\n"


def written() -> str:
    """The table as the document has it."""
    found = _BLOCK.search(DOCUMENT.read_text(encoding="utf-8"))
    assert found is not None
    return found[0]


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: plan_document.py --write")
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(_BLOCK.sub(lambda _: table(), text, count=1), encoding="utf-8")
