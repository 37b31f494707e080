"""Segment without any example: `cosegment`, what images share; `saliency`, what stands out in each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from likewise.cli.options import (
    Device,
    Edges,
    complain,
    say,
    shown_progress,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from likewise.io.paths import ImageFile
    from likewise.jobs.folder import Report
    from likewise.predict.co_saliency import CoSaliency, Group

FORMATS_HELP = "mask, probability, overlay, cutout, coco."
Paths = Annotated[list[str], typer.Argument(metavar="PATHS...", help="Images, folders (searched through), globs.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder for the results; made if it is not there.")]
Force = Annotated[bool, typer.Option("--force", help="Do finished images again too.")]


def saliency(
    paths: Paths,
    out: Out,
    format: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", metavar="FORMAT...", help=f"{FORMATS_HELP} \\[probability]"),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="saliency-lite0, a run of it, or an ONNX saliency model by its path.")
    ] = "saliency-lite0",
    device: Device = "auto",
    edges: Edges = True,
    force: Force = False,
) -> None:
    """Map what stands out in each image on its own.

    A run that was stopped goes on where it was when it is started again.

    [dim]likewise saliency photos/ -o maps/[/dim]
    """
    from likewise.io.paths import find_images
    from likewise.jobs.folder import segment_folder
    from likewise.jobs.writers import checked_formats
    from likewise.predict.saliency import SALIENT, Saliency

    formats = checked_formats(format or ["probability"])
    images = find_images(paths, exclude=[out])
    maps = Saliency(model, device=device, edges=edges)
    with shown_progress("mapping", len(images)) as told:
        report = segment_folder(
            images,
            maps.segment,
            out,
            formats=formats,
            classes=SALIENT,
            settings=maps.settings,
            force=force,
            progress=told,
        )
    tell(report, "mapped", out)


def cosegment(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATHS...", help="Folders, each a group; their subfolders are groups of their own."),
    ],
    out: Out,
    maps: Annotated[
        str,
        typer.Option(
            "--maps",
            help="Single-image saliency maps: a folder of them, with their images' names; saliency-lite0; a run of "
            "it; or an ONNX saliency model by its path.",
        ),
    ] = "saliency-lite0",
    then: Annotated[
        str | None,
        typer.Option(
            "--then",
            help="segment: the best masks become examples; what these and the group say is averaged.",
        ),
    ] = None,
    shots: Annotated[int, typer.Option("--shots", min=1, help="How many examples, with --then segment.")] = 5,
    format: Annotated[
        list[str] | None, typer.Option("--format", "-f", metavar="FORMAT...", help=f"{FORMATS_HELP} \\[mask]")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="icnet-lite0, a run of icnet, or icnet-vgg16 with --weights.")
    ] = "icnet-lite0",
    weights: Annotated[
        Path | None, typer.Option("--weights", help="The authors' checkpoint of a published network.")
    ] = None,
    device: Device = "auto",
    edges: Edges = True,
    force: Force = False,
) -> None:
    """Find what the images of a folder share, without any example.

    Every folder that holds images is a group. A run that was stopped goes on where it was when it is started again.

    [dim]likewise cosegment photos/ -o masks/ --format mask overlay[/dim]
    """
    from likewise.io.paths import find_images
    from likewise.jobs.folder import segment_folder
    from likewise.jobs.writers import checked_formats
    from likewise.predict.co_saliency import COMMON, CoSaliency
    from likewise.predict.map_folder import MapFolder

    formats = checked_formats(format or ["mask"])
    if then not in (None, "segment"):
        raise ValueError(f"--then is {then!r}; there is segment, which segments again by the best masks")
    beforehand = [maps] if Path(maps).is_dir() else []
    images = find_images(paths, exclude=[out, *beforehand])
    cosaliency = CoSaliency(model, maps=maps, weights=weights, device=device, edges=edges)
    if isinstance(cosaliency.maps, MapFolder):
        cosaliency.maps.check(images)
    members = by_folder(images)
    groups: dict[Path, Group] = {}
    with shown_progress("comparing", len(images)) as told:
        for folder, own in members.items():
            before = sum(len(members[done]) for done in groups)
            groups[folder] = cosaliency.learn(
                own, progress=lambda settled, of, before=before: told(before + settled, len(images))
            )
    for folder, group in groups.items():
        for line in group.health().told():
            complain(f"{folder}: {line}")
    settings = {**cosaliency.settings, "groups": {str(folder): files_of(own) for folder, own in members.items()}}
    if isinstance(cosaliency.maps, MapFolder):
        settings["maps"] = [settings["maps"], cosaliency.maps.digest(images)]
    segment: Callable[..., Any]
    if then == "segment":
        segment, more = by_example(cosaliency, members, groups, shots, device)
        settings |= more
    else:

        def segment(pixels: Any, image: ImageFile) -> Any:
            return cosaliency.segment(pixels, groups[image.path.parent], name=image.name)

    with shown_progress("segmenting", len(images)) as told:
        report = segment_folder(
            images,
            segment,
            out,
            beside=lambda image: image,
            formats=formats,
            classes=COMMON,
            settings=settings,
            force=force,
            progress=told,
        )
    tell(report, f"in {len(groups)} group{'s' * (len(groups) > 1)} segmented", out)


def by_example(
    cosaliency: CoSaliency, members: dict[Path, list[ImageFile]], groups: dict[Path, Group], shots: int, device: str
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A segmenter by the group and its best masks, and the settings of it."""
    from likewise.predict.co_saliency import BY_BEST_MASKS, average_results
    from likewise.predict.few_shot import FewShot

    few_shot = FewShot(BY_BEST_MASKS, device=device, edges=cosaliency.edges)
    concepts = {}
    for folder, own in members.items():
        if not len(groups[folder]):
            continue  # its images will fail one by one
        with shown_progress("choosing examples", len(own)) as told:
            examples = cosaliency.examples(own, groups[folder], count=shots, progress=told)
        say(f"{folder}: examples are {', '.join(Path(example.name).name for example in examples)}")
        concepts[folder] = few_shot.learn(examples)

    def segment(pixels: Any, image: ImageFile) -> Any:
        folder = image.path.parent
        own = cosaliency.segment(pixels, groups[folder], name=image.name)
        return average_results(own, few_shot.segment(pixels, concepts[folder])) if folder in concepts else own

    return segment, {
        "then": few_shot.model_name,
        "joined": "mean",
        "then weights": few_shot.fingerprint,
        "shots": shots,
    }


def by_folder(images: list[ImageFile]) -> dict[Path, list[ImageFile]]:
    """The images of each folder: the groups."""
    found: dict[Path, list[ImageFile]] = {}
    for image in images:
        found.setdefault(image.path.parent, []).append(image)
    return found


def files_of(images: list[ImageFile]) -> str:
    """A digest that changes when a group gains, loses or changes an image, since that changes all its masks."""
    import hashlib

    stamps = [(image.name, (status := image.path.stat()).st_size, status.st_mtime_ns) for image in images]
    return hashlib.sha256(repr(sorted(stamps)).encode()).hexdigest()[:16]


def tell(report: Report, what: str, out: Path) -> None:
    """Say what a run did; with failures, list them and leave with code 1."""
    rate = f", {report.done / report.seconds:.1f} images a second" if report.done else ""
    skipped = f", {report.skipped} were finished before" if report.skipped else ""
    say(f"{report.done} images {what} into {out}{skipped}{rate}")
    if report.failed:
        complain(f"{len(report.failed)} failed:")
        for path, reason in report.failed:
            complain(f"  {path}: {reason}")
        raise typer.Exit(1)
