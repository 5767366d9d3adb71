"""What stands against a plan, all of it, before anything is refused."""

from __future__ import annotations

from capstan.errors import UsageError


class PlanError(UsageError):
    """A host that cannot be what its settings ask; str() is a sentence a line, each naming host, key and remedy."""

    def __init__(self, host: str, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__("\n".join(f"host {host}: {key}: {sentence}" for key, sentence in problems))
        self.problems = problems
        """(key, sentence) of each."""


class Problems:
    """Collects them."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._found: list[tuple[str, str]] = []

    def add(self, key: str, sentence: str) -> None:
        """Take one; the same again is told once."""
        if (key, sentence) not in self._found:
            self._found.append((key, sentence))

    def refuse(self) -> None:
        """Raise PlanError if there are any."""
        if self._found:
            raise PlanError(self._host, tuple(self._found))
