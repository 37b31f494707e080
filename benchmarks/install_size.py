"""Measure what an installation downloads and stores, in a fresh environment for each row.

    python benchmarks/install_size.py [likewise] [rembg] [segment-anything]

Download: the sum of the sizes of all wheels and archives that pip takes from the index. Site-packages: what the
environment holds in addition to pip. `likewise` is this checkout; its own wheel is built here and counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES: dict[str, tuple[str, ...]] = {
    "likewise": (str(ROOT),),
    "rembg": ("rembg[cpu]",),
    "segment-anything": ("segment-anything", "torch", "torchvision"),
}
"""What pip installs for each row; segment-anything does not name torch among its requirements."""


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PACKAGES)} [all]")
    names = parser.parse_args().names or list(PACKAGES)
    print(f"{sys.platform}, Python {sys.version.split()[0]}")
    print(f"{'':20}{'download':>12}{'site-packages':>16}")
    for name in names:
        download, stored = measure(PACKAGES[name])
        print(f"{name:20}{download / 1e6:>9.1f} MB{stored / 1e6:>13.1f} MB", flush=True)


if __name__ == "__main__":
    main()
