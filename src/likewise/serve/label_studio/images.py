"""Images of tasks: local files, uploads, and addresses of the web."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from likewise.errors import ArgumentError, counted
from likewise.io.annotations.label_studio import LOCAL_FILES
from likewise.io.paths import real
from likewise.serve.label_studio.client import Client, origin_of
from likewise.serve.label_studio.errors import AddressError, FetchError

LARGEST = 256 << 20
"""Bytes of an image file."""


class Images:
    """Reads the files of images.

    Args:
        client: to Label Studio and the other origins that were named.
        roots: folders that Label Studio serves as local files; without them it is asked for these too.

    Raises:
        ArgumentError: no such folder.
    """

    def __init__(self, client: Client, roots: Sequence[Path] = ()) -> None:
        if missing := [root for root in roots if not root.is_dir()]:
            raise ArgumentError(f"{missing[0]}: no such folder; --local-files names Label Studio's document root")
        self.client, self.roots = client, [real(root) for root in roots]

    def read(self, address: str) -> bytes:
        """Return the file at an address of a task.

        Raises:
            AddressError: it may not be read.
            FetchError: it cannot be read, or is larger than `LARGEST`.
        """
        try:
            parts = urllib.parse.urlsplit(address)
            own = not parts.netloc or origin_of(address) == origin_of(self.client.host)
        except ValueError as error:
            raise AddressError(f"{address!r} is no address of an image ({error})") from error
        if self.roots and own and parts.path.endswith(urllib.parse.urlsplit(LOCAL_FILES).path):
            return self._local(urllib.parse.parse_qs(parts.query).get("d", [""])[0])
        return self.client.get(address, LARGEST)

    def _local(self, name: str) -> bytes:
        for root in self.roots:
            path = real(root / name) if "\0" not in name else root
            if not path.is_relative_to(root):
                raise AddressError(f"{name!r} leads out of the folder of local files")
            if path.is_file():
                try:
                    if path.stat().st_size > LARGEST:
                        raise FetchError(f"{name}: more than {LARGEST} bytes")
                    return path.read_bytes()
                except OSError as error:
                    raise FetchError(f"{name}: cannot be read ({error.strerror})") from error
        raise FetchError(f"{name}: not in {counted(len(self.roots), 'folder')} of local files; check --local-files")
