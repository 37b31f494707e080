"""The address that a server listens on."""

import ipaddress
import socket
from collections.abc import Sequence

from likewise.errors import ArgumentError


def is_loopback(host: str) -> bool:
    """Return whether a host can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, ports: Sequence[int]) -> socket.socket:
    """Return a socket that listens on the first free one of the ports.

    Raises:
        ArgumentError: All ports are taken, or the host is not of this machine.
    """
    reason: OSError | None = None
    for port in ports:
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen()
            return listening
        except OSError as error:
            reason = error
            listening.close()
    raise ArgumentError(f"cannot listen on {host}, port {ports[0]} ({reason}); choose another --port")
