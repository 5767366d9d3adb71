"""What several tests need: a host of their own under a temporary directory, and an engine that only pretends."""

import getpass
import grp
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml

from capstan import lab
from capstan.config import CaptureConfig, load
from capstan.paths import Paths

# A busy machine is no failure.
hypothesis.settings.register_profile("capstan", deadline=None)
hypothesis.settings.load_profile("capstan")

FAKE = Path(__file__).with_name("fake_engine.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if "root" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@dataclass(frozen=True)
class Host:
    """A root directory with settings and a fake engine."""

    paths: Paths

    def script(self, *runs: dict[str, Any], rate: int = 10_000) -> None:
        """Say how the engine's runs behave, from the first on."""
        self.paths.engine.with_name("script.json").write_text(
            json.dumps({"epoch": time.monotonic(), "rate": rate, "runs": runs or [{}]})
        )

    def arrived(self) -> int:
        script = json.loads(self.paths.engine.with_name("script.json").read_text())
        return int((time.monotonic() - script["epoch"]) * script["rate"])

    def configure(self, **settings: Any) -> CaptureConfig:
        """Write the settings file; by default one port that needs no NIC."""
        output = {"directory": str(self.paths.library / "captures"), "min_free": 0}
        chosen = {
            "host": "test",
            "method": "replay",
            "replay": {"generate": {"size": 64}},
            "interfaces": [{"name": "cap0"}],
            "output": output,
            "user": getpass.getuser(),
            "group": grp.getgrgid(os.getgid()).gr_name,
            **settings,
        }
        self.paths.config.parent.mkdir(parents=True, exist_ok=True)
        self.paths.config.write_text(yaml.safe_dump(chosen))
        return load(self.paths.config)


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    root = tmp_path_factory.mktemp("h")  # short: the path of a unix socket has 107 characters
    engine = root / "bin" / "capstan-engine"
    engine.parent.mkdir()
    engine.write_text(f"#!{sys.executable}\n" + FAKE.read_text().split("\n", 1)[1])
    engine.chmod(0o755)
    paths = Paths(root, engine)
    monkeypatch.setenv("CAPSTAN_ROOT", str(root))
    monkeypatch.setenv("CAPSTAN_ENGINE", str(engine))
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    made = Host(paths)
    made.script()
    made.configure()
    yield made
    shutil.rmtree(root)


@pytest.fixture
def veth_lab() -> Iterator[str]:
    """A lab of two queues; its name is that of the receiving namespace."""
    name = f"pytest-{os.getpid()}"
    lab.up(name, 2)
    yield name
    lab.down(name)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)
