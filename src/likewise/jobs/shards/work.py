"""The results of one shard: a pure function of the plan, written whole or not at all."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from pycocotools import mask as coco_mask

from likewise.engine.threads import one_blas_thread
from likewise.errors import LikewiseError, OutputError
from likewise.io.images import ScaledImage, read_scaled
from likewise.io.memory import default_budget, parse_size
from likewise.io.opening import readable_formats
from likewise.io.prefetch import prefetch
from likewise.jobs.pipeline import BYTES_PER_CLASS, BYTES_PER_PIXEL, check_memory, reason_of
from likewise.jobs.shards.plan import CONCEPT, MODEL, Plan, read_plan, rows_of_shard, settings_of
from likewise.jobs.shards.storage import Listed, Storage, fetch
from likewise.jobs.writers import Region, Regions, encode, regions_of
from likewise.predict.concept import Concept
from likewise.predict.edges import LARGEST
from likewise.predict.few_shot import FewShot
from likewise.predict.result import Result
from likewise.version import __version__

SHARDS = "shards"
"""Folder of the outputs."""
Segment = Callable[[ScaledImage], Result]
Read = Callable[[Listed], ScaledImage]
ReadAll = Callable[[Sequence[Listed], Read], Generator[tuple[Listed, Future[ScaledImage]], None, None]]
"""Yields each image with the future of what `Read` returns for it, in order; `likewise.io.prefetch` is one."""
COLUMNS = {
    "path": "string", "name": "string", "width": "int32", "height": "int32", "class": "string", "presence": "float64",
    "rle": "string", "x": "int32", "y": "int32", "w": "int32", "h": "int32", "area": "int64", "score": "float64",
    "error": "string",
}  # fmt: skip
"""Columns of an output and their types: a row for each region; one for a class without any (area 0), whose `rle` is
null; and one with `error`, whose `class` is null, for an image that failed."""


@dataclass(frozen=True)
class Done:
    """A finished shard, and its numbers of images and of errors."""

    shard: int
    images: int
    errors: int


@dataclass(frozen=True)
class _Found:
    rows: list[dict[str, Any]]
    mask: bytes | None = None

    @property
    def failed(self) -> bool:
        return self.rows[0]["error"] is not None


class Worker:
    """The model and the concept of a plan, opened once for any number of shards.

    Args:
        out: address of the folder with the plan.
        device: see `FewShot`.
        memory: as for `process_images`.
        read_all: reads images ahead; by default in two threads of this process.

    Raises:
        OutputError: no plan, or one that another version of likewise, or another model, made.
    """

    def __init__(
        self, out: str, *, device: str = "auto", memory: str | None = None, read_all: ReadAll = prefetch
    ) -> None:
        self.storage = Storage(out)
        self.plan = read_plan(self.storage)
        if self.plan.version != __version__:
            raise OutputError(
                f"{out}: planned by likewise {self.plan.version}, this is {__version__}, and results could differ; "
                f"install {self.plan.version}, or plan again in another place"
            )
        cost = BYTES_PER_PIXEL + BYTES_PER_CLASS * (len(self.plan.classes) - 1)
        budget = default_budget() if memory is None else parse_size(memory)
        self._read, self._read_all = partial(read_listed, cost=cost, budget=budget), read_all
        with TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for name in self.storage.tree(MODEL):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(self.storage.read(f"{MODEL}/{name}"))
            few_shot = FewShot.from_pretrained(folder, device=device, precision=str(self.plan.settings["precision"]))
            concept = Concept.load(folder / CONCEPT)
        own = {**settings_of(few_shot), "concept": concept.digest()}
        if changed := [key for key, value in own.items() if self.plan.settings.get(key) != value]:
            raise OutputError(f"{out}: its model or concept is not that of the plan ({changed[0]}); plan again")
        self._segment: Segment = few_shot.prepare(concept)
        self._at_once = few_shot.at_once

    @one_blas_thread()
    def work(self, shard: int, *, again: bool = False) -> Done:
        """Segment the images of a shard and write its output.

        Args:
            again: keep the results of an earlier output, and segment the images that failed then.

        Raises:
            OutputError: the storage cannot be reached, or none of the images.
        """
        images = rows_of_shard(self.storage, shard)
        kept = {name: found for name, found in self._earlier(shard).items() if not found.failed} if again else {}
        pending = [image for image in images if image.name not in kept]
        found = kept | dict(self._results(pending, shard))
        rows = [row for image in images for row in found[image.name].rows]
        errors = sum(each.failed for each in found.values())
        if self.plan.masks:
            self.storage.write(tar_name(shard), _to_tar({image.name: found[image.name].mask for image in images}))
        self.storage.write(output_name(shard), _to_parquet(rows, self.plan, len(images), errors))
        return Done(shard, len(images), errors)

    def _results(self, images: Sequence[Listed], shard: int) -> Iterator[tuple[str, _Found]]:
        unreachable = 0

        def find(item: tuple[Listed, Future[ScaledImage]]) -> tuple[ScaledImage, Result]:
            image = item[1].result()
            return image, self._segment(image)

        with (
            contextlib.closing(self._read_all(images, self._read)) as readings,
            contextlib.closing(prefetch(readings, find, ahead=self._at_once, threads=self._at_once)) as findings,
        ):
            for (listed, _), finding in findings:
                path, name = listed.path, listed.name
                try:
                    image, result = finding.result()
                    mask = encode("mask", image, result) if self.plan.masks else None
                    yield name, _Found(_rows(path, regions_of(name, result), self.plan.classes), mask)
                except Exception as error:  # any failure concerns this image only
                    unreachable += not isinstance(error, LikewiseError | FileNotFoundError)
                    if unreachable == len(images) > 1:
                        raise OutputError(
                            f"shard {shard}: none of its {len(images)} images can be read ({type(error).__name__}: "
                            f"{error}); check the storage and its credentials, and run again"
                        ) from error
                    yield name, _Found([_row(path, name, error=reason_of("the given bytes", error))])

    def _earlier(self, shard: int) -> dict[str, _Found]:
        masks: Mapping[str, bytes] = {}
        if self.plan.masks:
            with tarfile.open(fileobj=io.BytesIO(self.storage.read(tar_name(shard)))) as archive:
                members = {member.name: archive.extractfile(member) for member in archive.getmembers()}
                masks = {name: file.read() for name, file in members.items() if file is not None}
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in read_rows(self.storage, self.plan, shard):
            rows.setdefault(row["name"], []).append(row)
        return {name: _Found(own, masks.get(_mask_name(name))) for name, own in rows.items()}


def read_listed(image: Listed, *, cost: int, budget: int) -> ScaledImage:
    """Return an image of a list at the scale that is needed.

    Args:
        cost: bytes that segmenting takes for each pixel.
        budget: bytes that there are.

    Raises:
        ImageError: a damaged image, or one that needs more than the budget.
    """
    content = fetch(image)
    pixels = 0
    with contextlib.suppress(Exception), Image.open(io.BytesIO(content), formats=readable_formats()) as opened:
        pixels = opened.width * opened.height  # read_scaled says what is wrong with a damaged header
    check_memory(pixels * cost, budget)
    return read_scaled(content, LARGEST)


def output_name(shard: int) -> str:
    """Return the name of the output of a shard; its existence says that the shard is done."""
    return f"{SHARDS}/{shard:07d}.parquet"


def tar_name(shard: int) -> str:
    """Return the name of the tar with the masks of a shard."""
    return f"{SHARDS}/{shard:07d}.tar"


def finished_shards(storage: Storage) -> set[int]:
    """Return the shards that are done."""
    names = storage.names(SHARDS)
    return {int(name[:-8]) for name in names if name.endswith(".parquet") and name[:-8].isdecimal()}


def read_rows(storage: Storage, plan: Plan, shard: int) -> list[dict[str, Any]]:
    """Return the rows of a shard's output.

    Raises:
        OutputError: a damaged output, or one of another plan.
    """
    with opened_output(storage, plan, shard) as file:
        return file.read().to_pylist()


def count_rows(storage: Storage, plan: Plan, shard: int) -> Done:
    """Return the numbers of a shard, from the end of its output; errors as for `read_rows`."""
    with opened_output(storage, plan, shard) as file:
        header = file.schema_arrow.metadata
        return Done(shard, int(header[b"likewise.images"]), int(header[b"likewise.errors"]))


@contextlib.contextmanager
def opened_output(storage: Storage, plan: Plan, shard: int) -> Iterator[Any]:
    """Open the output of a shard as a `pyarrow.parquet.ParquetFile`; errors as for `read_rows`."""
    from pyarrow import parquet

    with storage.open(output_name(shard)) as file:
        opened = parquet.ParquetFile(file)
        found = (opened.schema_arrow.metadata or {}).get(b"likewise.plan", b"").decode()
        if found != plan.digest:
            raise OutputError(
                f"{storage.address}/{output_name(shard)}: written for the plan {found or 'without a name'}, not "
                f"{plan.digest}: another concept, model or list of images; delete it, and run again"
            )
        yield opened


def regions_in(rows: Sequence[Mapping[str, Any]], classes: tuple[str, ...]) -> Iterator[Regions]:
    """Yield the regions of each image of consecutive rows, without the images that failed."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["error"] is None:
            by_name.setdefault(row["name"], []).append(row)
    for name, own in by_name.items():
        regions = tuple(
            Region(classes.index(row["class"]) + 1, row["rle"], row["score"]) for row in own if row["rle"] is not None
        )
        judged = {row["class"]: row["presence"] for row in own if row["presence"] is not None}
        presences = tuple(judged[each] for each in classes) if judged else ()
        yield Regions(name, own[0]["height"], own[0]["width"], regions, presences)


def _row(address: str, name: str, **values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS), "path": address, "name": name, **values}


def _rows(address: str, regions: Regions, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    rows, absent = [], dict.fromkeys(range(1, len(classes) + 1))
    shared: list[dict[str, Any]] = [
        {"width": regions.width, "height": regions.height, "class": name} for name in classes
    ]
    for own, presence in zip(shared, regions.presences, strict=False):  # models that do not judge it have none
        own["presence"] = presence
    for region, code in regions.coded_masks():
        absent.pop(region.category, None)
        own = shared[region.category - 1]
        box = dict(zip("xywh", map(int, coco_mask.toBbox(code)), strict=True))
        area = int(coco_mask.area(code))
        rows.append(_row(address, regions.name, **own, rle=region.counts, **box, area=area, score=region.score))
    rows += [_row(address, regions.name, **shared[category - 1], area=0, score=0.0) for category in absent]
    return rows


def _to_parquet(rows: Sequence[Mapping[str, Any]], plan: Plan, images: int, errors: int) -> bytes:
    import pyarrow
    from pyarrow import parquet

    header = {"likewise.plan": plan.digest, "likewise.images": str(images), "likewise.errors": str(errors)}
    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()], metadata=header)
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _mask_name(name: str) -> str:
    parts = PurePosixPath(name.partition("://")[2] or name).parts
    return "/".join(part for part in parts if part not in ("/", "..")) + ".mask.png"


def _to_tar(masks: Mapping[str, bytes | None]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in masks.items():
            if content is not None:
                entry = tarfile.TarInfo(_mask_name(name))
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
