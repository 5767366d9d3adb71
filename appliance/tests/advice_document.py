"""The tables in docs/choosing-a-method.md, made of a described machine and of the priors: run it with --write."""

import re
import sys
from dataclasses import replace
from pathlib import Path

from capstan.advise_rates import PRIORS, estimate
from capstan.advise_report import report
from capstan.config import CaptureConfig
from capstan.ethtool import Channels
from capstan.links import Link, Network
from capstan.means import Means
from capstan.plan_text import columns
from machines import GIB, machine, nic

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/choosing-a-method.md"
_BLOCK = re.compile(r"(?<=```text\n).*?(?=```\n)", re.DOTALL)


def advice() -> str:
    """The advice for a server of sixteen cores whose IOMMU is off."""
    fast = replace(nic(0, most=64, model="8086:1592"), speed=100_000)
    edge = replace(nic(1, most=64, model="8086:10fb"), driver="ixgbe", kernel_driver="ixgbe", speed=10_000)
    host = replace(machine(16, threads=2, memory=128 * GIB, nics=[fast, edge]), user_space_drivers=("vfio-pci",))
    queues = Channels(0, 0, 16, 0, 0, 64)
    links = [Link(str(it.interface), 2 + at, pci=it.pci, channels=queues) for at, it in enumerate(host.nics)]
    settings = {"host": "probe-core", "method": "auto", "interfaces": [{"pci": it.pci} for it in host.nics]}
    means = Means(distribution="debian-12", packages=frozenset({"dpdk"}))
    document = report(CaptureConfig.model_validate(settings), host, Network(tuple(links)), means)
    return "\n".join(document["text"]) + "\n"


def priors() -> str:
    """A line for each method and mode."""
    head = ("method", "receiving, ns", "M/s a core", "most, M/s", "")
    rows = [
        (
            f"{method} {mode}".strip(),
            str(prior.receive_ns),
            f"{estimate(method, mode, 1, None).core / 1e6:.3g}",
            f"{prior.most / 1e6:.3g}" if prior.most else "-",
            prior.why,
        )
        for (method, mode), prior in PRIORS.items()
    ]
    return "".join(f"{line.rstrip()}\n" for line in columns([head, *rows], right=frozenset({1, 2, 3})))


def tables() -> list[str]:
    """The tables, in the document's order."""
    return [advice(), priors()]


def written() -> list[str]:
    """The tables as the document has them."""
    return _BLOCK.findall(DOCUMENT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: advice_document.py --write")
    made = iter(tables())
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(_BLOCK.sub(lambda _: next(made), text), encoding="utf-8")
