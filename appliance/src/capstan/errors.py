"""Errors an operator is to read: one sentence that says what is wrong and what to do."""

from __future__ import annotations


class OperatorError(Exception):
    """Something that stops the work and that the operator can put right; str() is the sentence."""

    exit_code = 1


class UsageError(OperatorError):
    """The work was asked for wrongly: bad settings, arguments or files."""

    exit_code = 2
