"""Who may connect to a server, and its run until it is stopped."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from likewise.errors import ArgumentError
from likewise.io.listening import is_loopback

STOP_SECONDS = 30
"""Seconds that a stop waits for answers."""
SHORTEST_TOKEN = 16
"""Characters of a token."""


def check_token(host: str, token: str | None) -> None:
    """Raise an `ArgumentError` unless the token fits the host."""
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ArgumentError(f"the token has {len(token)} characters; {SHORTEST_TOKEN} are the least")
    if not is_loopback(host) and token is None:
        raise ArgumentError(
            f"--host {host} lets other machines in, so it needs a token of {SHORTEST_TOKEN} characters or more in the "
            "environment variable LIKEWISE_SERVE_TOKEN"
        )


def hosts_of(host: str) -> list[str]:
    """Return the names that requests may call a server by that listens on `host`."""
    return ["127.0.0.1", "localhost", "[::1]"] if is_loopback(host) else ["*"]


def run(app: FastAPI, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; requests in work are then answered, for at most `STOP_SECONDS`."""
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=STOP_SECONDS, server_header=False, backlog=2048
    )
    uvicorn.Server(config).run(sockets=[listening])
