"""Segment what the images of each folder share: `cosegment_folder`.

images -> groups by folder -> learn each group -> (best masks as examples, or consensus) -> segment each image
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from likewise.io.digests import stamp_of
from likewise.io.images import ScaledImage
from likewise.io.paths import ImageFile
from likewise.jobs.outputs import Images, list_images
from likewise.jobs.pipeline import Report, process_images
from likewise.jobs.writers import check_formats

if TYPE_CHECKING:
    from likewise.ops.prototypes import Prototypes
    from likewise.predict.co_saliency import CoSaliency, Group
    from likewise.predict.consensus import Consensus
    from likewise.predict.few_shot import FewShot
    from likewise.predict.result import Result
    from likewise.predict.segmenter import Segmenter

StageProgress = Callable[[str, int, int], None]
"""Called with the stage ("comparing", "comparing regions", "choosing examples", "segmenting"), the processed images and
their total."""


@dataclass
class GroupReport(Report):
    """The outcome of `cosegment_folder`.

    Attributes:
        groups: Each folder and its group.
        examples: The images whose masks became the examples of each folder, best first, if `then` was few-shot.
    """

    groups: dict[Path, Group] = field(default_factory=dict)
    examples: dict[Path, list[str]] = field(default_factory=dict)


def cosegment_folder(
    images: Images,
    out: str | Path,
    *,
    cosaliency: CoSaliency,
    then: FewShot | Consensus | None = None,
    shots: int = 5,
    formats: Sequence[str] = ("mask",),
    force: bool = False,
    follow_links: bool = False,
    memory: str | int | None = None,
    dry_run: bool = False,
    progress: StageProgress | None = None,
) -> GroupReport:
    """Segment what the images of each folder share, and write the results to `out`; interrupted runs resume.

        cosegment_folder("photos/", "masks/", cosaliency=CoSaliency())

    Each folder that contains images is a group. Warns of outsiders and of unreliable saliency maps.

    Args:
        images: Paths, folders and globs. A folder of saliency maps in `cosaliency` is skipped.
        then: A `FewShot` segments again: the `shots` best masks of a group become its examples, and the probabilities
            of both are averaged. A `Consensus` segments instead.
        formats: Names of `likewise.jobs.writers.FORMATS`.
        force: Process finished groups again, also with other settings than before.
    """
    from likewise.predict.co_saliency import COMMON, average_results
    from likewise.predict.consensus import Consensus
    from likewise.predict.edges import LARGEST
    from likewise.predict.map_folder import MapFolder

    formats = check_formats(formats)
    maps = cosaliency.maps if isinstance(cosaliency.maps, MapFolder) else None
    found = list_images(images, exclude=[out] if maps is None else [out, maps.folder], follow_links=follow_links)
    settings = dict(cosaliency.settings)
    if maps is not None:
        maps.check(found)
        settings["maps"] = [str(maps.folder), maps.digest(found)]
    members = group_by_folder(found)
    groups = learn_groups(cosaliency, members, progress)
    settings["groups"] = {str(folder): group_digest(files) for folder, files in members.items()}
    segmenters: dict[Path, Segmenter] = {}
    examples: dict[Path, list[str]] = {}
    shared: dict[Path, Prototypes | None] = {}
    if isinstance(then, Consensus):
        settings |= then.settings
        for folder, files in members.items():
            shared[folder] = then.learn(files, progress=_stage(progress, "comparing regions"))
    elif then is not None:
        settings |= {"then": then.model_name, "then weights": then.fingerprint, "shots": shots}
        for folder, files in members.items():
            if len(groups[folder]):
                choosing = _stage(progress, "choosing examples")
                best = cosaliency.examples(files, groups[folder], count=shots, progress=choosing)
                segmenters[folder] = then.prepare(then.learn(best))
                examples[folder] = [example.name for example in best]

    def segment(image: ScaledImage, file: ImageFile) -> Result:
        folder = file.path.parent
        if isinstance(then, Consensus):
            return then.segment(image, shared[folder], name=file.name)
        result = cosaliency.segment(image, groups[folder], name=file.name)
        return average_results(result, segmenters[folder](image)) if folder in segmenters else result

    report = process_images(
        found,
        segment,
        out,
        short=LARGEST,
        formats=formats,
        classes=COMMON,
        settings=settings,
        force=force,
        memory=memory,
        dry_run=dry_run,
        progress=_stage(progress, "segmenting"),
    )
    return GroupReport(**vars(report), groups=groups, examples=examples)


def learn_groups(
    cosaliency: CoSaliency, members: dict[Path, list[ImageFile]], progress: StageProgress | None = None
) -> dict[Path, Group]:
    """Return the group of each folder; warn of outsiders and unreliable saliency maps."""
    total = sum(map(len, members.values()))
    groups: dict[Path, Group] = {}
    before = 0
    for folder, files in members.items():
        groups[folder] = cosaliency.learn(files, progress=_stage(progress, "comparing", before, total))
        before += len(files)
    for folder, group in groups.items():
        for line in group.health().warnings():
            warnings.warn(f"{folder}: {line}", stacklevel=3)
    return groups


def group_by_folder(images: Sequence[ImageFile]) -> dict[Path, list[ImageFile]]:
    """Return the images of each folder."""
    members: dict[Path, list[ImageFile]] = {}
    for image in images:
        members.setdefault(image.path.parent, []).append(image)
    return members


def group_digest(images: Sequence[ImageFile]) -> str:
    """Return 16 hexadecimal digits that change when an image of the group is added, removed or modified.

    Any such change affects the masks of the whole group.
    """
    stamps = sorted((image.name, repr(stamp_of(image.path))) for image in images)
    return hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]


def _stage(
    progress: StageProgress | None, stage: str, before: int = 0, total: int | None = None
) -> Callable[[int, int], None] | None:
    """Return the progress function of one stage, or of its part after `before` images of `total`."""
    if progress is None:
        return None
    return lambda done, count: progress(stage, before + done, count if total is None else total)
