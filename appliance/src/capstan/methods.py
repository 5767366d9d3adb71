"""What this version does with each capture method. The controller imports this with nothing but pydantic installed."""

from __future__ import annotations

from collections.abc import Iterator

from capstan.config import BUILT_METHODS, PREPARED_METHODS, CaptureConfig
from capstan.config_problems import one_of


def not_captured(config: CaptureConfig) -> Iterator[tuple[str, str]]:
    """(key, sentence) for each method of the settings that hosts are prepared for and the engine cannot capture by."""
    entries = [(f"interfaces[{index}].method", entry.method) for index, entry in enumerate(config.interfaces)]
    if any(method is None for _, method in entries):
        entries.insert(0, ("method", config.method))
    for key, method in entries:
        if method in PREPARED_METHODS:
            yield (
                key,
                f"is {method}, and this build prepares hosts for {method} and does not capture with it; "
                f"run playbooks/prepare.yml alone, or write {one_of(BUILT_METHODS)}",
            )
