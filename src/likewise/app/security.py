"""Who may talk to the server: requests for this machine's name, from its own page, with its cookie or token."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import secrets
import socket
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from likewise.errors import ArgumentError, OutputError
from likewise.io.listening import is_loopback

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

SAFE = ("GET", "HEAD")
"""Methods that change nothing."""
SHORTEST_PASSWORD = 12
"""Characters of a password at least: the server may be in a network."""
LARGEST_BODY = 65 << 20
"""Bytes of the body of a request at most."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "font-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def check_password(host: str, password: str | None) -> None:
    """Raise an `ArgumentError` if the server would be open to others without a good password."""
    if is_loopback(host):
        return
    if password is None or len(password) < SHORTEST_PASSWORD:
        raise ArgumentError(
            f"--host {host} lets other machines open the project, so it needs a password of {SHORTEST_PASSWORD} "
            "characters or more in the environment variable LIKEWISE_APP_PASSWORD"
        )


def session_token(folder: Path) -> str:
    """Return the secret of a project, which its owner alone can read; it outlives the server."""
    path = folder / "session"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file() and len(token := path.read_text(encoding="ascii")) >= 32:
            return token
        path.unlink(missing_ok=True)
        token = secrets.token_urlsafe(32)
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(token, encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{path}: cannot be written ({error}); choose another --project") from error
    return token


class Gate:
    """ASGI middleware that checks each request before anything else runs.

    - The Host header is an address, localhost or this machine's name, with the server's port: a foreign name that
      resolves to this machine (DNS rebinding) is refused.
    - What changes something has an Origin header of the same host, or the token as `Authorization: Bearer`.
    - Everything needs the cookie or the token. `/?token=...` exchanges the launch token, once, for the cookie.

    Args:
        token: the secret of the project.
        password: lets a browser of another machine in at `/login`; None refuses it.
    """

    def __init__(self, app: Any, *, token: str, port: int, password: str | None = None) -> None:
        self.app, self.port, self.token, self.password = app, port, token, password
        self.launch: str | None = secrets.token_urlsafe(32)
        self.cookie = f"likewise-{port}"
        self._guesses = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        host = headers.get("host", "")
        if not self.is_own(host):
            await refuse(send, 403, f"the host {host!r} is not this server; open the link that likewise printed")
        elif (
            headers.get("origin", f"http://{host}") != f"http://{host}" or headers.get("sec-fetch-site") == "cross-site"
        ):
            await refuse(send, 403, "another site sent the request")
        elif not (length := headers.get("content-length", "0")).isdecimal() or int(length) > LARGEST_BODY:
            await refuse(send, 413, f"the body is larger than {LARGEST_BODY >> 20} MiB")
        elif scope["path"] == "/" and scope["method"] == "GET" and "token" in query:
            await self._enter(query["token"][0], send)
        elif scope["path"] == "/login" and self.password is not None:
            await self._login(scope["method"], receive, send)
        elif not self._is_known(headers) and self.password is not None and scope["path"] == "/":
            await respond(send, 303, b"", {"location": "/login"})
        elif not self._is_known(headers):
            await refuse(
                send, 401, "open the link that likewise printed, or log in at /login if the server has a password"
            )
        elif scope["method"] not in SAFE and "origin" not in headers and not self._has_token(headers):
            await refuse(send, 403, "a change needs an Origin header of this server, or the token in Authorization")
        else:
            await self.app(scope, bounded(receive), with_headers(send))

    def is_own(self, host: str) -> bool:
        """Return whether a Host header names this server: by an address, or a name that only this machine has."""
        name, _, port = host.rpartition(":")
        if not port.isdecimal() or "]" in port:
            name, port = host, "80"
        if int(port) != self.port:
            return False
        name = name.strip("[]").lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in ("localhost", socket.gethostname().lower())
        return True

    def _is_known(self, headers: dict[str, str]) -> bool:
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        own = cookies.get(self.cookie)
        return (own is not None and equal(own.value, self.token)) or self._has_token(headers)

    def _has_token(self, headers: dict[str, str]) -> bool:
        kind, _, value = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and equal(value, self.token)

    async def _enter(self, token: str, send: Send) -> None:
        if self.launch is None or not equal(token, self.launch):
            await refuse(
                send, 403, "this link was used, or is of another start; start likewise app again for a new one"
            )
            return
        self.launch = None
        await self._welcome(send)

    async def _welcome(self, send: Send) -> None:
        cookie = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000"
        await respond(send, 303, b"", {"location": "/", "set-cookie": cookie})

    async def _login(self, method: str, receive: Receive, send: Send) -> None:
        if method != "POST":
            await respond(send, 200, LOGIN, {"content-type": "text/html; charset=utf-8"})
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")[:4096]
            if not message.get("more_body") or len(body) > 4096:
                break
        given = parse_qs(body.decode("utf-8", "replace")).get("password", [""])[0]
        if self.password is not None and equal(given, self.password):
            await self._welcome(send)
        else:
            async with self._guesses:  # one guess a second, of all that ask
                await asyncio.sleep(1)
            await respond(send, 303, b"", {"location": "/login?" + urlencode({"wrong": 1})})


LOGIN = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>likewise</title>
<form method="post" action="/login"><label>Password <input type="password" name="password" autofocus></label>
<button>Open</button></form></html>"""


def equal(one: str, other: str) -> bool:
    """Return whether two secrets are equal, in a time that says nothing about where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())


def bounded(receive: Receive) -> Receive:
    """Return `receive` that ends a body which is longer than `LARGEST_BODY`."""
    total = 0

    async def receive_bounded() -> dict[str, Any]:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        return {"type": "http.disconnect"} if total > LARGEST_BODY else message

    return receive_bounded


def with_headers(send: Send) -> Send:
    """Return `send` that adds `HEADERS`."""

    async def send_with_headers(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            added = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in given]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return send_with_headers


async def refuse(send: Send, status: int, detail: str) -> None:
    await respond(send, status, json.dumps({"detail": detail}).encode(), {"content-type": "application/json"})


async def respond(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    raw = [
        (name.encode(), value.encode()) for name, value in {**HEADERS, "cache-control": "no-store", **headers}.items()
    ]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
