#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Say one command to a running qemu over its machine protocol (QMP) and print the answer as JSON.

qmp.py SOCKET COMMAND [ARGUMENTS], ARGUMENTS a JSON object. QMP answers are lines; events stand between them.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any, TextIO

ANSWER_SECONDS = 120  # savevm writes half a gigabyte


def answer(lines: TextIO) -> object:
    """Return the next answer of qemu, which is not an event; raise RuntimeError with its words when it refused."""
    for line in lines:
        message = json.loads(line)
        if "error" in message:
            raise RuntimeError(message["error"]["desc"])
        if "return" in message:
            return message["return"]
    raise RuntimeError("qemu closed the connection")


def say(path: Path, command: str, arguments: dict[str, Any]) -> object:
    """Run one command; raise OSError when nobody listens, RuntimeError when qemu refuses."""
    # A socket's path is at most 107 bytes, a checkout's may be longer.
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as qemu:
        qemu.settimeout(ANSWER_SECONDS)
        qemu.connect(path.name)
        with qemu.makefile("rw", encoding="utf-8") as lines:
            lines.readline()  # the greeting
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                result = answer(lines)
    # The human monitor has no errors, only words.
    if command == "human-monitor-command" and str(result).strip():
        raise RuntimeError(str(result).strip())
    return result


def main() -> int:
    """Return 0, or 1 after a sentence."""
    path, command, *rest = sys.argv[1:]
    try:
        result = say(Path(path).absolute(), command, json.loads(rest[0]) if rest else {})
    except (OSError, RuntimeError) as error:
        sys.stderr.write(f"qmp: {command}: {error}\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
