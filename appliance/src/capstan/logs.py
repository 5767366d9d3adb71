"""Logging: JSON lines for machines, coloured lines for a person at a terminal."""

from __future__ import annotations

import sys

import structlog


def configure() -> None:
    """Set structlog up once, for the process."""
    last: structlog.typing.Processor = structlog.processors.JSONRenderer(sort_keys=False)
    if sys.stderr.isatty():
        last = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def logger() -> structlog.typing.FilteringBoundLogger:
    """The logger of this process."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log
