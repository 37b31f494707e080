"""Measure what an installation downloads and stores, in a fresh environment for each row.

    python benchmarks/install_size.py [likewise] [rembg] [segment-anything]

Download: the sum of the sizes of all wheels and archives that pip takes from the index. Site-packages: what the
environment holds in addition to pip. `likewise` is this checkout; its own wheel is built here and counts.
segment-anything, of several GB, is not installed: pip resolves it (`--dry-run --report`), and the sizes of the wheels
and of their files are read from the index. Compiled Python files, which pip adds, are then not counted.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, url2pathname, urlopen

ROOT = Path(__file__).resolve().parents[1]
PACKAGES: dict[str, tuple[str, ...]] = {
    "likewise": (str(ROOT),),
    "rembg": ("rembg[cpu]",),
    "segment-anything": ("segment-anything", "torch", "torchvision"),
}
"""What pip installs for each row; segment-anything does not name torch among its requirements."""
NOT_INSTALLED = ("segment-anything",)
"""Rows whose sizes are read from the index."""


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in the folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def measure(packages: tuple[str, ...]) -> tuple[int, int]:
    """Return the bytes of the download and of site-packages."""
    with tempfile.TemporaryDirectory() as folder:
        environment, wheels = Path(folder) / "venv", Path(folder) / "wheels"
        venv.create(environment, with_pip=True)
        python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        (site,) = (environment / "Lib", environment / "lib")[sys.platform != "win32"].rglob("site-packages")
        before = folder_size(site)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "wheel", "--no-cache-dir", "--wheel-dir", wheels, *packages], check=True)
        subprocess.run([*pip, "install", "--no-index", *wheels.iterdir()], check=True)
        return folder_size(wheels), folder_size(site) - before


def measure_by_index(packages: tuple[str, ...]) -> tuple[int, int]:
    """Return the bytes of the wheels that pip would download, and of the files in them."""
    command = [sys.executable, "-m", "pip", "--quiet", "install", "--dry-run", "--ignore-installed", "--report", "-"]
    done = subprocess.run([*command, *packages], capture_output=True, text=True, check=True)
    download = stored = 0
    for package in json.loads(done.stdout)["install"]:
        url = package["download_info"]["url"]
        with Path(url2pathname(urlsplit(url).path)).open("rb") if url.startswith("file:") else RemoteFile(url) as wheel:
            stored += sum(entry.file_size for entry in zipfile.ZipFile(wheel).infolist())
            download += wheel.seek(0, io.SEEK_END)
    return download, stored


class RemoteFile(io.RawIOBase):
    """A file of the index; only the parts that are read are downloaded."""

    def __init__(self, url: str) -> None:
        self.url, self.at = url, 0
        with urlopen(Request(url, method="HEAD")) as answer:
            self.size = int(answer.headers["Content-Length"])

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def read(self, size: int = -1) -> bytes:
        last = self.size if size < 0 else min(self.at + size, self.size)
        content = b""
        while self.at < last:  # an answer may be shorter than asked for
            with urlopen(Request(self.url, headers={"Range": f"bytes={self.at}-{last - 1}"})) as answer:
                part = answer.read()
            content += part
            self.at += len(part)
        return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PACKAGES)} [all]")
    names = parser.parse_args().names or list(PACKAGES)
    print(f"{sys.platform}, Python {sys.version.split()[0]}")
    print(f"{'':20}{'download':>12}{'site-packages':>16}")
    for name in names:
        download, stored = (measure_by_index if name in NOT_INSTALLED else measure)(PACKAGES[name])
        print(f"{name:20}{download / 1e6:>9.1f} MB{stored / 1e6:>13.1f} MB", flush=True)


if __name__ == "__main__":
    main()
