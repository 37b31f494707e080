"""Parse scenes with a network trained on many labels: `parse`, and a look into its memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli.few_shot import SeveralValues
from likewise.cli.options import Device, complain, say, shown_progress

memory = typer.Typer(no_args_is_help=True, help="Look into the memory of a run of MCIBI.")


class SeveralFormats(SeveralValues):
    """A command whose `--format` and `--scales` take all values up to the next option."""

    several = ("--format", "-f", "--scales")


SceneModel = Annotated[str, typer.Option("--model", metavar="RUN", help="A folder of [bold]likewise train[/bold].")]
Scales = Annotated[
    list[float] | None,
    typer.Option("--scales", metavar="SCALE...", help="Sizes at which images are parsed, to be averaged. \\[1]"),
]
Mirror = Annotated[bool, typer.Option("--mirror", help="Parse the mirror image too, and average.")]
Window = Annotated[
    int, typer.Option("--window", min=1, help="Larger images are cut into windows of so many pixels a side.")
]
Overlap = Annotated[float, typer.Option("--overlap", help="The least part of a window that the next one shares.")]
ShortSide = Annotated[
    int | None,
    typer.Option("--side", min=0, help="The short side to which images are brought; 0: their own. \\[as trained]"),
]


def parse(
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Images, folders (searched through), globs.")],
    model: SceneModel,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the results; made if it is not there.")],
    format: Annotated[
        list[str] | None,
        typer.Option(
            "--format", "-f", metavar="FORMAT...", help="labels, overlay, probability, areas, coco. \\[labels overlay]"
        ),
    ] = None,
    scales: Scales = None,
    mirror: Mirror = False,
    window: Window = 768,
    overlap: Overlap = 0.25,
    side: ShortSide = None,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Do finished images again too.")] = False,
) -> None:
    """Label every pixel of all PATHS with one of the classes that the model was trained on.

    A run that was stopped goes on where it was when it is started again.

    [dim]likewise parse photos/ --model runs/mcibi -o parsed/ --format labels overlay areas[/dim]
    """
    from likewise.io.paths import find_images
    from likewise.jobs.folder import segment_folder
    from likewise.jobs.writers import checked_formats
    from likewise.predict.scene_parser import SceneParser

    formats = checked_formats(format or ["labels", "overlay"])
    images = find_images(paths, exclude=[out])
    parser = SceneParser(
        model, side=side, scales=scales or (1.0,), mirror=mirror, window=window, overlap=overlap, device=device
    )
    with shown_progress("parsing", len(images)) as told:
        report = segment_folder(
            images,
            parser.parse,
            out,
            formats=formats,
            classes=parser.classes,
            settings=parser.settings,
            force=force,
            progress=told,
        )
    rate = f", {report.done / report.seconds:.1f} images a second" if report.done else ""
    skipped = f", {report.skipped} were finished before" if report.skipped else ""
    say(f"{report.done} images parsed into {out}{skipped}{rate}")
    if report.failed:
        complain(f"{len(report.failed)} failed:")
        for path, reason in report.failed:
            complain(f"  {path}: {reason}")
        raise typer.Exit(1)


@memory.command("show")
def show(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run of mcibi; or the file of a saved memory, without drift.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="IMAGE", help="The image to write.")],
) -> None:
    """Show what a memory holds: which classes are filled, which are alike, how each drifted in training.

    [dim]likewise memory show runs/mcibi -o memory.png[/dim]
    """
    from likewise.io.images import save_image
    from likewise.viz.memory import draw_memory, read_memories, told_memory

    memories = read_memories(run)
    for line in told_memory(memories):
        say(line)
    save_image(draw_memory(memories, title=run.name), out)
    say(str(out))
