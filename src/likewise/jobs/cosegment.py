"""Segment what the images of each folder share: `cosegment_folder`.

images -> groups by folder -> learn each group -> (best masks as examples, or consensus) -> segment each image
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from likewise.errors import check_known, warn
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
        folders: Number of folders; each is a group.
        groups: Each folder and its group; empty if no image was to be processed.
        examples: With few-shot segmentation, the images whose masks became the examples of each folder, best first.
    """

    folders: int = 0
    groups: dict[Path, Group] = field(default_factory=dict)
    examples: dict[Path, list[str]] = field(default_factory=dict)


def cosegment_folder(
    images: Images,
    out: str | Path,
    *,
    cosaliency: CoSaliency,
    then: str | FewShot | Consensus | None = None,
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
        then: "segment", or a `FewShot`, segments again: the `shots` best masks of a group become its examples, and the
            probabilities of both are averaged. "consensus", or a `Consensus`, segments instead.
        formats: Names of `likewise.jobs.writers.FORMATS`.
        force: Process finished groups again, also with other settings than before.
    """
    from likewise.predict.co_saliency import COMMON, average_results
    from likewise.predict.consensus import Consensus
    from likewise.predict.edges import LARGEST
    from likewise.predict.map_folder import MapFolder

    formats = check_formats(formats)
    second = second_pass(then, cosaliency)
    maps = cosaliency.maps if isinstance(cosaliency.maps, MapFolder) else None
    found = list_images(images, exclude=[out] if maps is None else [out, maps.folder], follow_links=follow_links)
    members = group_by_folder(found)
    settings = dict(cosaliency.settings)
    if maps is not None:
        maps.check(found)
        settings["maps"] = [str(maps.folder), maps.digest(found)]
    settings["groups"] = {str(folder): group_digest(files) for folder, files in members.items()}
    if isinstance(second, Consensus):
        settings |= second.settings
    elif second is not None:
        settings |= {"then": second.model_name, "then weights": second.fingerprint, "shots": shots}
    groups: dict[Path, Group] = {}
    examples: dict[Path, list[str]] = {}
    segmenters: dict[Path, Segmenter] = {}
    shared: dict[Path, Prototypes | None] = {}

    def learn() -> None:
        before = 0
        for folder, files in members.items():
            groups[folder] = cosaliency.learn(files, progress=_stage(progress, "comparing", before, len(found)))
            before += len(files)
        for folder, group in groups.items():
            for line in group.health().warnings():
                warn(f"{folder}: {line}")
        for folder, files in members.items():
            if isinstance(second, Consensus):
                shared[folder] = second.learn(files, progress=_stage(progress, "comparing regions"))
            elif second is not None and len(groups[folder]):
                choosing = _stage(progress, "choosing examples")
                best = cosaliency.examples(files, groups[folder], count=shots, progress=choosing)
                segmenters[folder] = second.prepare(second.learn(best))
                examples[folder] = [example.name for example in best]

    def segment(image: ScaledImage, file: ImageFile) -> Result:
        folder = file.path.parent
        if isinstance(second, Consensus):
            return second.segment(image, shared[folder])
        result = cosaliency.segment(image, groups[folder])
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
        begin=learn,
        progress=_stage(progress, "segmenting"),
    )
    return GroupReport(**vars(report), folders=len(members), groups=groups, examples=examples)


def second_pass(then: str | FewShot | Consensus | None, cosaliency: CoSaliency) -> FewShot | Consensus | None:
    """Return what segments after the groups are learned; "segment" and "consensus" use the engine of `cosaliency`."""
    from likewise.predict.co_saliency import BEST_MASK_MODEL
    from likewise.predict.consensus import Consensus
    from likewise.predict.few_shot import FewShot

    if not isinstance(then, str):
        return then
    check_known(then, ("segment", "consensus"), "second pass")
    if then == "consensus":
        return Consensus(cosaliency)
    engine, device, edges = cosaliency.engine, str(cosaliency.device), cosaliency.edges
    # a group shares its object, so no image is taken to lack it
    return FewShot(BEST_MASK_MODEL, engine=engine, device=device, quality="fast", edges=edges, presence=0)


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
