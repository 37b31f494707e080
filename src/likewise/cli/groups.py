"""Segment without any example: `cosegment`, what pictures share; `saliency`, what stands out in each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from likewise.cli.options import Device, Edges, complain, say, shown_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from likewise.folder import Report
    from likewise.paths import Picture
    from likewise.predict.co_saliency import CoSaliency, Group

FORMATS_HELP = "mask, probability, overlay, cutout, coco."
Paths = Annotated[list[str], typer.Argument(metavar="PATHS...", help="Pictures, folders (searched through), globs.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder for the results; made if it is not there.")]
Force = Annotated[bool, typer.Option("--force", help="Do finished pictures again too.")]


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
    """Map what stands out in each picture on its own.

    A run that was stopped goes on where it was when it is started again.

    [dim]likewise saliency photos/ -o maps/[/dim]
    """
    from likewise.folder import segment_folder
    from likewise.formats import checked_formats
    from likewise.paths import find_pictures
    from likewise.predict.saliency import SALIENT, Saliency

    formats = checked_formats(format or ["probability"])
    pictures = find_pictures(paths, exclude=[out])
    maps = Saliency(model, device=device, edges=edges)
    with shown_progress("mapping", len(pictures)) as told:
        report = segment_folder(
            pictures,
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
            help="Single-image saliency maps: a folder of them, with their pictures' names; saliency-lite0; a run of "
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
    """Find what the pictures of a folder share, without any example.

    Every folder that holds pictures is a group. A run that was stopped goes on where it was when it is started again.

    [dim]likewise cosegment photos/ -o masks/ --format mask overlay[/dim]
    """
    from likewise.folder import segment_folder
    from likewise.formats import checked_formats
    from likewise.paths import find_pictures
    from likewise.predict.co_saliency import COMMON, CoSaliency
    from likewise.predict.map_folder import MapFolder

    formats = checked_formats(format or ["mask"])
    if then not in (None, "segment"):
        raise ValueError(f"--then is {then!r}; there is segment, which segments again by the best masks")
    beforehand = [maps] if Path(maps).is_dir() else []
    pictures = find_pictures(paths, exclude=[out, *beforehand])
    cosaliency = CoSaliency(model, maps=maps, weights=weights, device=device, edges=edges)
    if isinstance(cosaliency.maps, MapFolder):
        cosaliency.maps.check(pictures)
    members = by_folder(pictures)
    groups: dict[Path, Group] = {}
    with shown_progress("comparing", len(pictures)) as told:
        for folder, own in members.items():
            before = sum(len(members[done]) for done in groups)
            groups[folder] = cosaliency.learn(
                own, progress=lambda settled, of, before=before: told(before + settled, len(pictures))
            )
    for folder, group in groups.items():
        for line in group.health().told():
            complain(f"{folder}: {line}")
    settings = {**cosaliency.settings, "groups": {str(folder): files_of(own) for folder, own in members.items()}}
    if isinstance(cosaliency.maps, MapFolder):
        settings["maps"] = [settings["maps"], cosaliency.maps.digest(pictures)]
    segment: Callable[..., Any]
    if then == "segment":
        segment, more = by_example(cosaliency, members, groups, shots, device)
        settings |= more
    else:

        def segment(pixels: Any, picture: Picture) -> Any:
            return cosaliency.segment(pixels, groups[picture.path.parent], name=picture.name)

    with shown_progress("segmenting", len(pictures)) as told:
        report = segment_folder(
            pictures,
            segment,
            out,
            beside=lambda picture: picture,
            formats=formats,
            classes=COMMON,
            settings=settings,
            force=force,
            progress=told,
        )
    tell(report, f"in {len(groups)} group{'s' * (len(groups) > 1)} segmented", out)


def by_example(
    cosaliency: CoSaliency, members: dict[Path, list[Picture]], groups: dict[Path, Group], shots: int, device: str
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A segmenter by the group and its best masks, and the settings of it."""
    from likewise.predict.co_saliency import BY_BEST_MASKS, joined
    from likewise.predict.few_shot import FewShot

    few_shot = FewShot(BY_BEST_MASKS, device=device, edges=cosaliency.edges)
    concepts = {}
    for folder, own in members.items():
        if not len(groups[folder]):
            continue  # its pictures will fail one by one
        with shown_progress("choosing examples", len(own)) as told:
            examples = cosaliency.examples(own, groups[folder], count=shots, progress=told)
        say(f"{folder}: examples are {', '.join(Path(example.name).name for example in examples)}")
        concepts[folder] = few_shot.learn(examples)

    def segment(pixels: Any, picture: Picture) -> Any:
        folder = picture.path.parent
        own = cosaliency.segment(pixels, groups[folder], name=picture.name)
        return joined(own, few_shot.segment(pixels, concepts[folder])) if folder in concepts else own

    return segment, {
        "then": few_shot.model_name,
        "joined": "mean",
        "then weights": few_shot.fingerprint,
        "shots": shots,
    }


def by_folder(pictures: list[Picture]) -> dict[Path, list[Picture]]:
    """The pictures of each folder: the groups."""
    found: dict[Path, list[Picture]] = {}
    for picture in pictures:
        found.setdefault(picture.path.parent, []).append(picture)
    return found


def files_of(pictures: list[Picture]) -> str:
    """A digest that changes when a group gains, loses or changes a picture, since that changes all its masks."""
    import hashlib

    stamps = [(picture.name, (status := picture.path.stat()).st_size, status.st_mtime_ns) for picture in pictures]
    return hashlib.sha256(repr(sorted(stamps)).encode()).hexdigest()[:16]


def tell(report: Report, what: str, out: Path) -> None:
    """Say what a run did; with failures, list them and leave with code 1."""
    rate = f", {report.done / report.seconds:.1f} pictures a second" if report.done else ""
    skipped = f", {report.skipped} were finished before" if report.skipped else ""
    say(f"{report.done} pictures {what} into {out}{skipped}{rate}")
    if report.failed:
        complain(f"{len(report.failed)} failed:")
        for path, reason in report.failed:
            complain(f"  {path}: {reason}")
        raise typer.Exit(1)
