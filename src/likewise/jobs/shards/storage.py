"""Files in any storage that fsspec opens, and the images in it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from likewise.errors import (
    ArgumentError,
    ImageError,
    LikewiseError,
    OutputError,
    counted,
    printable,
    requires_extra,
    warn,
)
from likewise.io.atomic import delete_parts, write_atomically
from likewise.io.paths import IMAGE_SUFFIXES, OUTPUT_SUFFIXES, Listings, is_hidden, is_output

MANIFESTS = (".txt", ".parquet")
"""Suffixes of lists of images: one path a line, or a column `path`."""
TAR = ".tar"
"""Suffix of archives whose images are listed, such as the shards of webdataset."""
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
WILDCARDS = "*?["


class Listed(NamedTuple):
    """An image: the address of its file, its name, and for one in a tar the place of its bytes."""

    path: str
    name: str
    start: int | None = None
    size: int | None = None


class Storage:
    """A folder at an address: a path, ``s3://bucket/folder``, ``memory://folder``, ...

    Raises:
        OutputError: See `storage_errors`.
    """

    def __init__(self, address: str) -> None:
        self.address = str(address).rstrip("/")
        self._fs, self._root = open_address(self.address)
        self._local = Path(self._root) if is_local(self._fs) else None

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        with storage_errors(f"{self.address}/{name}"):
            return self._fs.cat_file(f"{self._root}/{name}")

    @contextmanager
    def open(self, name: str) -> Iterator[Any]:
        """Open a file, to read parts of it."""
        with storage_errors(f"{self.address}/{name}"), self._fs.open(f"{self._root}/{name}", "rb") as file:
            yield file

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        if self._local is not None:
            with write_atomically(self._local / name) as part:
                part.write_bytes(content)
            return
        with storage_errors(f"{self.address}/{name}"):  # an object appears when it is complete
            self._fs.makedirs(PurePosixPath(f"{self._root}/{name}").parent.as_posix(), exist_ok=True)
            self._fs.pipe_file(f"{self._root}/{name}", content)

    def names(self, folder: str) -> list[str]:
        """Return the sorted names of the files in a folder; none if it does not exist."""
        with storage_errors(f"{self.address}/{folder}"):
            self._fs.invalidate_cache()
            if not self._fs.isdir(f"{self._root}/{folder}"):
                return []
            found = self._fs.ls(f"{self._root}/{folder}", detail=False)
        return sorted(name for name in (PurePosixPath(path).name for path in found) if not is_hidden(name))

    def tree(self, folder: str) -> list[str]:
        """Return the names of the files below a folder, relative to it."""
        with storage_errors(f"{self.address}/{folder}"):
            base = f"{self._root}/{folder}/"
            return sorted(path[path.index(base) + len(base) :] for path in self._fs.find(base))

    def clean(self) -> None:
        """Delete what killed processes of this machine left."""
        if self._local is not None:
            delete_parts(self._local)


@contextmanager
def storage_errors(address: str) -> Iterator[None]:
    """Turn errors of a storage in the block into an `OutputError` of one sentence."""
    try:
        yield
    except (LikewiseError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise OutputError(f"{address}: no such file or folder; check the address") from error
    except ImportError as error:
        raise OutputError(f"{address}: needs a package that is not installed ({error}); install it with pip") from error
    except Exception as error:  # each storage's client has errors of its own
        text = (str(error).strip().splitlines() or [""])[0]
        if type(error).__module__.startswith("pyarrow"):
            raise OutputError(f"{address}: damaged ({text}); delete it, and make it again") from error
        raise OutputError(
            f"{address}: cannot be reached ({type(error).__name__}: {text}); check the address and the credentials"
        ) from error


def open_address(address: str) -> tuple[Any, str]:
    """Return fsspec's file system of an address, and the path in it."""
    with requires_extra("jobs", "likewise jobs"):
        from fsspec.core import url_to_fs
    with storage_errors(address):
        fs, path = url_to_fs(address)
    return fs, path.rstrip("/")


def is_local(fs: Any) -> bool:
    """Return whether a file system is that of this machine."""
    return "file" in ([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol)


def fetch(image: Listed) -> bytes:
    """Return the bytes of an image; the client of its storage raises what it likes."""
    fs, path = open_address(image.path)
    if image.start is None or image.size is None:
        return fs.cat_file(path)
    content = fs.cat_file(path, start=image.start, end=image.start + image.size)
    # a web server that ignores ranges sends the whole file
    return content if len(content) <= image.size else content[image.start :][: image.size]


def list_stored(source: str, out: str) -> Iterator[Listed]:
    """Yield each image of a folder (searched recursively), a glob, a file, a tar or a manifest.

    Names are relative to the folder; those in a manifest are the addresses; those in a tar follow its own name, as in
    x.tar/1.jpg. Files of a folder come in the order of their names, images in a tar in its order. Hidden files, masks
    such as x.mask.png, and what lies in `out` are left out; on this machine also what `find_images` takes for a mask or
    an output of an image. A damaged tar is listed up to the damage, which is listed as an image that cannot be read.

    Raises:
        ImageError: No such folder or file, or no image in it.
        OutputError: A storage that cannot be reached, or a folder that cannot be listed.
        ArgumentError: A manifest or a tar that names an image twice, a manifest without a column `path`, or a tar that
            is compressed.
    """
    found = 0
    fs, root = open_address(source)
    if root.endswith(MANIFESTS):
        entries = _manifest(fs, root, source)
    elif root.endswith(COMPRESSED):
        raise ArgumentError(f"{source}: images in a compressed tar cannot be read one by one; decompress it to {TAR}")
    else:
        with storage_errors(source):
            exists = bool(set(WILDCARDS) & set(root)) or fs.exists(root)
        if not exists:
            raise ImageError(f"{source}: no such file or folder; check the address")
        excluded = open_address(out)[1] + "/"
        entries = (
            (path if is_local(fs) else fs.unstrip_protocol(path), name)
            for path, name in _below(fs, root, source)
            if (_is_image(name) or _is_tar(name)) and not f"{path}/".startswith(excluded)
        )
        entries = _without_masks(entries) if is_local(fs) else entries
    for path, name in entries:
        for image in _members(path, name) if _is_tar(name) else [Listed(path, name)]:
            address = f"{image.path} {image.name}"
            if not address.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in address):
                warn(f"left out, since its name is not UTF-8: {printable(address)}")
                continue
            found += 1
            yield image
    if not found:
        raise ImageError(f"{source}: no image; names of images end in .jpg, .png, ...")


def _without_masks(entries: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Leave out the masks and outputs of images; only the names of one folder and its siblings are in memory."""
    folder, listings = None, Listings()
    for path, name in entries:
        file = Path(path)
        if file.parent != folder:
            folder, listings = file.parent, Listings()
        if _is_tar(name) or not is_output(file, Path(path.removesuffix(name)), listings):
            yield path, name


def _members(path: str, name: str) -> Iterator[Listed]:
    """Yield the images in a tar; only its headers are read, where the storage can skip."""
    fs, inner = open_address(path)
    seen: set[str] = set()
    with storage_errors(path), fs.open(inner, "rb") as file:
        start = 0
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # else all stay in memory
                    start = archive.offset
                    own = member.name.removeprefix("./")
                    if not member.isreg() or member.issparse() or not _is_image(own):
                        continue
                    if own in seen:
                        raise ArgumentError(f"{path}: holds {own} twice; its results would count twice: remove one")
                    seen.add(own)
                    yield Listed(path, f"{name}/{own}", member.offset_data, member.size)
                file.seek(start)
                if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile ends silently at damage after a member
                    raise tarfile.ReadError(f"no header at byte {start}")
        except tarfile.TarError as error:
            warn(f"{path}: damaged after {counted(len(seen), 'image')} ({error}); the rest is left out")
            yield Listed(path, name, start, tarfile.BLOCKSIZE)


def _below(fs: Any, root: str, source: str) -> Iterator[tuple[str, str]]:
    """Yield path and name of each file below a folder, one folder in memory at a time."""
    with storage_errors(source):
        if set(WILDCARDS) & set(root):
            fixed = root[: min(root.index(each) for each in WILDCARDS if each in root)].rpartition("/")[0]
            yield from ((path, path[len(fixed) :].lstrip("/")) for path in sorted(fs.glob(root)))
        elif fs.isfile(root):
            yield root, PurePosixPath(root).name
        else:
            for path in _walk(fs, root):
                yield path, path[len(root) :].lstrip("/")


def _walk(fs: Any, folder: str) -> Iterator[str]:
    """Yield the files of a folder in the order of their names, then those of its folders.

    `fs.walk` leaves out folders that it cannot list, and says nothing.
    """
    entries = sorted(fs.ls(folder, detail=True), key=lambda entry: entry["name"])
    fs.invalidate_cache(folder)  # else the names of all folders stay in memory
    for entry in entries:
        if entry.get("islink") and fs.isdir(entry["name"]):
            warn(f"{entry['name']}: a link to a folder is not followed; name it, or list its images")
        elif entry["type"] != "directory" and entry["name"] != folder:
            yield entry["name"]
    for entry in entries:
        if entry["type"] == "directory" and entry["name"].rstrip("/") != folder and not entry.get("islink"):
            yield from _walk(fs, entry["name"].rstrip("/"))


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    masks = tuple(OUTPUT_SUFFIXES.values())
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(map(is_hidden, path.parts)) and not name.endswith(masks)


def _is_tar(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() == TAR and not any(map(is_hidden, path.parts))


def _manifest(fs: Any, path: str, source: str) -> Iterator[tuple[str, str]]:
    seen: set[int] = set()
    for address in _lines(fs, path, source):
        key = hash(address)
        if key in seen:
            raise ArgumentError(f"{source}: names {address} twice; its results would count twice: remove one")
        seen.add(key)
        yield address, address


def _lines(fs: Any, path: str, source: str) -> Iterator[str]:
    with storage_errors(source), fs.open(path, "rb") as file:
        if path.endswith(".txt"):
            yield from filter(None, (line.decode("utf-8").strip() for line in file))
            return
        from pyarrow import parquet

        table = parquet.ParquetFile(file)
        if "path" not in table.schema_arrow.names:
            raise ArgumentError(f"{source}: has no column path, only {', '.join(table.schema_arrow.names)}")
        for batch in table.iter_batches(columns=["path"]):
            yield from batch.column(0).to_pylist()
