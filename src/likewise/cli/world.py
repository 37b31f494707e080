"""`likewise world`: statistics of images of anything, which presence compares classes with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.console import print_line


def world(
    paths: options.Paths,
    out: Annotated[Path, typer.Option("--out", "-o", help="File of the world; .world is added if missing.")],
    model: options.Model = "prototypes",
    backbone: options.BackboneName = "lite0",
    weights: options.Weights = None,
    side: options.Side = None,
    device: options.Device = "auto",
    about: Annotated[str, typer.Option("--about", help="Where the images come from, for the file's header.")] = "",
) -> None:
    """Measure a world from the images of PATHS, for models that bring none.

    A world tells a model what else there is, so that it can say that a class is absent. Hundreds of images of anything
    are enough, also those that you will segment.

    [dim]likewise world photos/ -o photos.world --backbone resnet50[/dim]
    [dim]likewise segment photos/ --like cat.jpg -o masks/ --backbone resnet50 --world photos.world[/dim]
    """
    from likewise.jobs.world import measure_folder

    few_shot = options.open_few_shot(model, backbone=backbone, weights=weights, side=side, device=device)
    path = out if out.suffix == ".world" else out.with_name(f"{out.name}.world")
    count = measure_folder(paths, path, few_shot=few_shot, about=about)
    print_line(f"{path}: world of {count} images, {few_shot.extractor.name}")
