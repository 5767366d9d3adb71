"""Tell systemd how the service is: datagrams of KEY=VALUE lines to $NOTIFY_SOCKET, as sd_notify(3) says."""

from __future__ import annotations

import os
import socket


def notify(**pairs: str) -> None:
    """Send pairs such as READY="1" to the service manager, when there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    target = "\0" + address[1:] if address.startswith("@") else address
    message = "\n".join(f"{key}={value}" for key, value in pairs.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.sendto(message.encode(), target)
