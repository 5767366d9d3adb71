"""What stops a benchmark, in a sentence."""

from __future__ import annotations


class BenchmarkError(Exception):
    """A measurement or the whole run cannot be: str() is the sentence that says why and what to do."""
