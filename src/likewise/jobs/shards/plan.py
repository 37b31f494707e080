"""Plan a large job: list the images into shards, and write down everything that determines the results."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from likewise.errors import ArgumentError, OutputError, requires_extra
from likewise.jobs.shards.storage import Listed, Storage, list_stored
from likewise.version import __version__

if TYPE_CHECKING:
    from likewise.predict.concept import Concept
    from likewise.predict.few_shot import FewShot

PLAN, MODEL, CONCEPT = "plan.json", "model", "job.concept"
FORMAT = 1
"""Version of the plan; later ones are refused."""
SIZE = 1000
"""Images of a shard."""
PART = 200
"""Shards of one file of the manifest: a worker reads its shard's rows alone, and the list is never whole in memory."""


@dataclass(frozen=True)
class Plan:
    """What a job does.

    Attributes:
        images, shards, size: numbers of images, of shards, and of images in a shard.
        classes: of the concept.
        settings: everything that determines the results.
        masks: whether each shard also has a tar of mask PNGs.
        version: of likewise.
        digest: of all this and of the list of images.
    """

    images: int
    shards: int
    size: int
    classes: tuple[str, ...]
    settings: dict[str, Any]
    masks: bool
    version: str
    digest: str

    def of_part(self, index: int, count: int) -> range:
        """Return the shards of one of `count` workers."""
        if not 0 <= index < count:
            raise ArgumentError(f"--shard {index}/{count}: the first number is 0 to {count - 1}")
        return range(index, self.shards, count)


def parse_part(text: str | None) -> tuple[int, int]:
    """Return the index and the count in ``3/64``, as `Plan.of_part` takes them; None is the whole plan.

    Raises:
        ArgumentError: another text.
    """
    index, _, count = ("0/1" if text is None else text).partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise ArgumentError(f"--shard {text}: write I/N, such as 3/64")
    return int(index), int(count)


def plan_job(
    images: str,
    concept: Concept,
    out: str,
    *,
    few_shot: FewShot,
    size: int = SIZE,
    masks: bool = False,
) -> Plan:
    """Write a plan to `out`, and return it; a plan of the same job that is there is returned unchanged.

    Args:
        images: see `likewise.jobs.shards.storage.list_stored`.

    Raises:
        ImageError: no image.
        ArgumentError: a manifest that names an image twice, or a size below 1.
        OutputError: `out` holds a plan of another job, or the storage cannot be reached.
    """
    if size < 1:
        raise ArgumentError(f"a shard of {size} images; 1 is the least")
    few_shot.check(concept)
    storage = Storage(out)
    settings = {**settings_of(few_shot), "concept": concept.digest(), "images": images}
    own = {"settings": settings, "classes": list(concept.classes), "size": size, "masks": masks, "version": __version__}
    if PLAN in storage.names(""):
        found = read_plan(storage)
        if {key: asdict(found)[key] for key in own} != own | {"classes": concept.classes}:
            raise OutputError(f"{out}: holds the plan of another job ({found.digest}); name another place with -o")
        return found
    digest, count = hashlib.sha256(json.dumps(own, sort_keys=True).encode()), 0
    listed = list_stored(images, out)
    for part in range(1 << 62):
        rows = list(islice(listed, size * PART))
        if not rows:
            break
        for row in rows:
            digest.update(f"{row}\n".encode())
        storage.write(_part_name(part), _manifest_part(rows, size))
        count += len(rows)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        few_shot.save_pretrained(folder)
        concept.save(folder / CONCEPT)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            storage.write(f"{MODEL}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    plan = {**own, "images": count, "shards": -(-count // size), "digest": digest.hexdigest()[:16]}
    storage.write(PLAN, (json.dumps({"likewise": "job", "format": FORMAT, **plan}, indent=1) + "\n").encode())
    return read_plan(storage)


def settings_of(few_shot: FewShot) -> dict[str, Any]:
    """Return what determines the results besides the concept."""
    return {**few_shot.settings, "edges": few_shot.edges}


def read_plan(storage: Storage) -> Plan:
    """Return the plan in a folder.

    Raises:
        OutputError: no plan, or a damaged or later one.
    """
    try:
        text = json.loads(storage.read(PLAN))
        if text["likewise"] != "job" or text["format"] > FORMAT:
            raise ValueError(f"format {text['format']} of {text['likewise']!r}")
        names = ("images", "shards", "size", "classes", "settings", "masks", "version", "digest")
        plan = Plan(**{name: text[name] for name in names} | {"classes": tuple(text["classes"])})
        if not all(type(number) is int and number > 0 for number in (plan.images, plan.shards, plan.size)):
            raise ValueError("its numbers are not positive")
        return plan
    except OutputError as error:
        raise OutputError(
            f"{storage.address}: no plan can be read ({error}); `likewise jobs plan` makes one"
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        raise OutputError(f"{storage.address}/{PLAN}: damaged, or of a later version ({error}); plan again") from error


def rows_of_shard(storage: Storage, shard: int) -> list[Listed]:
    """Return the images of a shard."""
    from pyarrow import parquet

    with storage.open(_part_name(shard // PART)) as file:
        table = parquet.ParquetFile(file).read_row_group(shard % PART)
    return list(map(Listed._make, zip(*(table[name].to_pylist() for name in Listed._fields), strict=True)))


def _part_name(part: int) -> str:
    return f"manifest/{part:06d}.parquet"


def _manifest_part(rows: list[Listed], size: int) -> bytes:
    """Return a Parquet file with one row group for each shard."""
    with requires_extra("jobs", "likewise jobs"):
        import pyarrow
        from pyarrow import parquet
    buffer = io.BytesIO()
    kinds = (pyarrow.string(), pyarrow.string(), pyarrow.int64(), pyarrow.int64())
    schema = pyarrow.schema(list(zip(Listed._fields, kinds, strict=True)))
    with parquet.ParquetWriter(buffer, schema) as writer:
        for start in range(0, len(rows), size):
            columns = dict(zip(Listed._fields, zip(*rows[start : start + size], strict=True), strict=True))
            writer.write_table(pyarrow.table(columns, schema=schema), row_group_size=size)
    return buffer.getvalue()
