# SPDX-License-Identifier: Apache-2.0
"""Count test cases in JUnit files: prints "PASSED FAILED SKIPPED" for all files named."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET


def tally(paths: list[str]) -> tuple[int, int, int]:
    """Sum the cases of the files; a case with an error counts as failed."""
    passed = failed = skipped = 0
    for path in paths:
        for case in ET.parse(path).iter("testcase"):  # noqa: S314 - files of our own test run
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            elif case.find("skipped") is not None:
                skipped += 1
            else:
                passed += 1
    return passed, failed, skipped


if __name__ == "__main__":
    sys.stdout.write("{} {} {}\n".format(*tally(sys.argv[1:])))
