"""The output files of a run, and the checks that protect existing files."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from likewise.errors import ArgumentError, ImageError, OutputError, warn
from likewise.io.depth import Range
from likewise.io.images import TIFF_SUFFIXES
from likewise.io.paths import ImageFile, exists, find_images, real
from likewise.io.raster import TiffPage, count_pages, open_raster
from likewise.jobs.records import has_records
from likewise.jobs.writers import SUMMARIES, WRITERS

Images = str | Path | ImageFile | Iterable[str | Path | ImageFile]
"""Images of a run: paths, folders and globs as in `find_images`, or files already found."""
STREAM = "-"
"""Standard input in place of the images, or standard output in place of the output folder."""


@dataclass(frozen=True)
class Job:
    """An image and its output file for each format."""

    image: ImageFile
    outputs: dict[str, Path]


def list_images(
    images: Images,
    *,
    exclude: Iterable[str | Path] = (),
    follow_links: bool = False,
    pages: str = "first",
    channels: tuple[int, ...] = (),
    one_scale: bool = False,
) -> list[ImageFile]:
    """Return the image files that `images` names, without those below a path of `exclude` (`find_images`).

    Args:
        pages: "first" or "all" pages of TIFF files; "all" names them x.page1.tif, x.page2.tif, ...
        channels: Of TIFF files: see `likewise.io.raster.TiffPage`.
        one_scale: Scale all TIFF files of more than 8 bits from the least to the greatest value of any.

    Raises:
        ArgumentError: Other pages, or an empty path.
    """
    if pages not in ("first", "all"):
        raise ArgumentError(f"pages are 'first' or 'all', not {pages!r}")
    if images == STREAM or images == [STREAM]:
        return [ImageFile(Path(STREAM), STREAM)]
    given = [images] if isinstance(images, str | Path | ImageFile) else list(images)
    found = [image for image in given if isinstance(image, ImageFile)]
    paths = [image for image in given if not isinstance(image, ImageFile)]
    if not all(str(path).strip() for path in paths):
        raise ArgumentError("a path of images is an empty text; give an image, a folder or a glob")
    if paths or not found:
        found += find_images(paths, exclude=exclude, follow_links=follow_links)
    found = [page for file in found for page in _pages_of(file, pages, channels)]
    return _with_one_scale(found) if one_scale else found


def _with_one_scale(files: list[ImageFile]) -> list[ImageFile]:
    ranges = {}
    for file in files:
        if file.path.suffix.lower() in TIFF_SUFFIXES:
            with suppress(ImageError), open_raster(TiffPage(file.path, file.page, file.channels)) as raster:
                if raster.deep:
                    ranges[file] = raster.sampled_range()
    if not ranges:
        return files
    scale = Range(min(each.low for each in ranges.values()), max(each.high for each in ranges.values()))
    return [replace(file, scale=scale) if file in ranges else file for file in files]


def _pages_of(file: ImageFile, pages: str, channels: tuple[int, ...]) -> list[ImageFile]:
    if file.path.suffix.lower() not in TIFF_SUFFIXES:
        return [file]
    count = count_pages(file.path)
    file = replace(file, channels=channels or file.channels)
    if count == 1:
        return [file]
    if pages == "first":
        warn(f"{file.path}: has {count} pages, and only the first is used; --pages all uses all")
        return [file]
    place = PurePosixPath(file.name)
    names = (place.with_name(f"{place.stem}.page{page + 1}{place.suffix}").as_posix() for page in range(count))
    return [replace(file, name=name, page=page) for page, name in enumerate(names)]


def plan_jobs(images: Sequence[ImageFile], out: Path, formats: Iterable[str]) -> list[Job]:
    """Return a job for each image, with outputs such as ``out/sub/cat.mask.png`` for sub/cat.jpg.

    Images whose names differ only in the suffix keep it: cat.jpg.mask.png.

    Raises:
        ArgumentError: Two images have the same name.
    """
    names = [image.name for image in images]
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    if duplicates:
        raise ArgumentError(f"two images are named {duplicates[0]}; their outputs would overwrite each other")
    stems = {name: PurePosixPath(name).with_suffix("").as_posix() for name in names}
    while True:  # a suffix that is kept may cause a new clash
        counts = Counter(stem.casefold() for stem in stems.values())
        clashing = [name for name, stem in stems.items() if counts[stem.casefold()] > 1 and stem != name]
        if not clashing:
            break
        stems.update({name: name for name in clashing})
    suffixes = {format: WRITERS[format][0] for format in formats if format in WRITERS}
    return [
        Job(image, {format: out / f"{stems[image.name]}{suffix}" for format, suffix in suffixes.items()})
        for image in images
    ]


def summary_files(out: Path, formats: Iterable[str]) -> dict[str, Path]:
    """Return the path of each format that has one file for all images."""
    return {format: out / SUMMARIES[format][0] for format in formats if format in SUMMARIES}


def check_folder(out: Path) -> None:
    """Raise an `OutputError` if the output folder, or a folder that it would lie in, is a file."""
    for path in (out, *out.parents):
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path}: a file; name a folder with -o")


def refuse_overwriting(targets: Iterable[Path], out: Path, inputs: Iterable[Path], *, force: bool) -> None:
    """Check that no target is an input, nor, unless `force` or after a run in `out`, an existing file.

    Raises:
        OutputError: The message names the file.
    """
    targets = list(targets)
    protected = {real(path) for path in inputs}
    for target in targets:
        if real(target) in protected:
            raise OutputError(f"{target}: is an input; write to another folder with -o")
    if force or has_records(out):
        return
    for target in targets:
        if exists(target):
            raise OutputError(
                f"{target}: exists and is not the output of an earlier run; write to another folder with -o, or pass "
                "--force to overwrite it"
            )
