"""Requests to Label Studio, and to the other servers of images that were named at the start, to no other host."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from likewise.errors import ArgumentError
from likewise.serve.label_studio.errors import AddressError, FetchError

TIMEOUT, DEADLINE = 10.0, 60.0
"""Seconds without a byte, and of a whole answer."""
PART = 1 << 16
"""Bytes that are read at once."""
PORTS = {"http": 80, "https": 443}


class Client:
    """Reads from a few origins (scheme, host and port). Several threads may use it.

    Args:
        host: address of Label Studio.
        token: of an account of Label Studio, an access token of either kind; sent to Label Studio only.
        origins: addresses of other servers that images may be read from.

    Raises:
        ArgumentError: an address that is not http or https.
    """

    def __init__(self, host: str, token: str | None = None, origins: Sequence[str] = ()) -> None:
        self.host, self.token = host.rstrip("/"), token
        self._own = origin_of(host)
        self._allowed = {self._own, *map(origin_of, origins)}
        self._access: str | None = None
        self._lock = threading.Lock()

    def get(self, address: str, most: int) -> bytes:
        """Return what is at an address; one without a host is of Label Studio.

        Raises:
            AddressError: another host than the ones that were named at the start, also by a redirection.
            FetchError: no answer, one that is not 200, or more than `most` bytes.
        """
        url = urllib.parse.urljoin(f"{self.host}/", address)
        try:
            return self._read(urllib.request.Request(url, headers=self._headers(url)), most)
        except urllib.error.HTTPError as error:
            if error.code != 401 or not self._renews or self._origin(url) != self._own:
                raise FetchError(f"{url}: answers {error.code}{self._hint(error.code)}") from error
        self._access = None
        try:
            return self._read(urllib.request.Request(url, headers=self._headers(url)), most)
        except urllib.error.HTTPError as error:
            raise FetchError(f"{url}: answers {error.code}{self._hint(error.code)}") from error

    @property
    def _renews(self) -> bool:
        """Whether the token is one that short-lived ones are got with (a JSON web token)."""
        return self.token is not None and self.token.count(".") == 2

    def _hint(self, code: int) -> str:
        if code in (401, 403):
            return "; set LABEL_STUDIO_API_KEY to an access token of an account that may see the project"
        return ""

    def _headers(self, url: str) -> dict[str, str]:
        if self.token is None or self._origin(url) != self._own:
            return {}
        if not self._renews:
            return {"Authorization": f"Token {self.token}"}
        with self._lock:
            if self._access is None:
                self._access = self._renewed()
            return {"Authorization": f"Bearer {self._access}"}

    def _renewed(self) -> str:
        request = urllib.request.Request(
            f"{self.host}/api/token/refresh/",
            data=json.dumps({"refresh": self.token}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            return str(json.loads(self._read(request, PART))["access"])
        except (urllib.error.HTTPError, ValueError, LookupError, TypeError) as error:
            raise FetchError(f"{request.full_url}: refuses the token ({error}){self._hint(401)}") from error

    def _read(self, request: urllib.request.Request, most: int) -> bytes:
        url = request.full_url
        self._origin(url)
        end = time.monotonic() + DEADLINE
        opener = urllib.request.build_opener(_Redirects(self))
        try:
            with opener.open(request, timeout=TIMEOUT) as answer:
                content = bytearray()
                while part := answer.read1(PART):
                    content += part
                    if len(content) > most:
                        raise FetchError(f"{url}: more than {most} bytes")
                    if time.monotonic() > end:
                        raise FetchError(f"{url}: not complete after {DEADLINE:.0f} seconds")
                return bytes(content)
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, FetchError | AddressError):
                raise
            raise FetchError(f"{url}: cannot be read ({getattr(error, 'reason', error)}); check the address") from error

    def _origin(self, url: str) -> tuple[str, str, int]:
        """Return the origin of an address that may be read."""
        try:
            origin = origin_of(url)
        except ArgumentError as error:
            raise AddressError(str(error)) from error
        if origin not in self._allowed:
            raise AddressError(
                f"{url}: only Label Studio at {self.host} may be read; allow this server too with --images-from "
                f"{origin[0]}://{origin[1]}:{origin[2]}"
            )
        return origin


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections to origins that may be read, and keeps the token with Label Studio."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        if found is not None and self.client._origin(newurl) != self.client._own:
            found.remove_header("Authorization")
        return found


def origin_of(address: str) -> tuple[str, str, int]:
    """Return scheme, host and port.

    Raises:
        ArgumentError: not an address of http or https.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError as error:
        raise ArgumentError(f"{address!r} is no address ({error})") from error
    if scheme not in PORTS or not host or parts.username is not None:
        raise ArgumentError(f"{address!r} is no address of http or https, such as http://127.0.0.1:8080")
    return scheme, host, port or PORTS[scheme]
