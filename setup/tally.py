# SPDX-License-Identifier: Apache-2.0
"""Count test cases in JUnit files.

tally.py FILE...            print "PASSED FAILED SKIPPED" for all files
tally.py --failed FILE...   print each case that failed, with the beginning of why
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator

NAME, WORDS = 200, 400
"""Characters that are shown of a case's name, and of why it failed."""


def cases(paths: list[str]) -> Iterator[ET.Element]:
    """All test cases of the files."""
    for path in paths:
        yield from ET.parse(path).iter("testcase")  # noqa: S314 - files of our own test run


def failure(case: ET.Element) -> ET.Element | None:
    """Why it failed; a case with an error has failed, too."""
    why = case.find("failure")
    return case.find("error") if why is None else why


def tally(paths: list[str]) -> tuple[int, int, int]:
    """Sum the cases of the files."""
    passed = failed = skipped = 0
    for case in cases(paths):
        if failure(case) is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def failed_cases(paths: list[str]) -> Iterator[str]:
    """A line for each case that failed."""
    for case in cases(paths):
        why = failure(case)
        if why is not None:
            words = " ".join((why.get("message") or why.text or "").split())
            yield f"{case.get('classname', '')} {case.get('name', '')}"[:NAME] + f": {words[:WORDS]}"


def main(arguments: list[str]) -> None:
    """Print what is asked for."""
    if arguments[:1] == ["--failed"]:
        for line in failed_cases(arguments[1:]):
            sys.stdout.write(f"            {line}\n")
    else:
        sys.stdout.write("{} {} {}\n".format(*tally(arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
