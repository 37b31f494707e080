"""`likewise train` and `likewise recipes`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from likewise.cli.console import print_line, stage_progress
from likewise.errors import requires_extra


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A name of [bold]likewise recipes[/bold], or a YAML file.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Changed settings: data.root=VOC steps=800 ...")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="Folder of the run. \\[runs/RECIPE]")
    ] = None,
) -> None:
    """Train a model by a recipe.

    Recipes of scenes (mcibi, fcn) read a folder of your own, data.root=street: street/images/ has photographs,
    street/labels/ has PNGs or TIFFs with the same stems and sizes, 0 for the first class, 1 for the second, 255 for
    ignored pixels; data.classes=\\[sky,road] names the classes. Recipes of objects (panet, hsnet, icnet, saliency) read
    data.set=class_folders: pets/cat/1.jpg with its mask pets/cat/1.png, a folder for each class. Both kinds read
    data.set=annotations data.root=annotations.json: COCO, YOLO, VOC, labelme, CVAT or Label Studio.

    Interrupted runs resume from the last checkpoint and end with the same weights as an uninterrupted run.

    [dim]likewise train panet-voc-small data.root=PASCAL data.fold=1 -o runs/fold1[/dim]
    """
    with requires_extra("train", "training"):
        from likewise.train.recipes.load import load_recipe
        from likewise.train.samples.sources import check_data

        if find_spec("lightning_fabric") is None:  # looked for, not imported: it imports torch
            raise ModuleNotFoundError(name="lightning_fabric")
        chosen = load_recipe(recipe, overrides or ())
        check_data(chosen.data)
        from likewise.train.loop import train  # after the checks, since torch takes seconds
        from likewise.train.tasks.task import TASKS

    with stage_progress() as progress:
        folder = train(chosen, out, progress=progress)
    use = f"likewise {TASKS[chosen.model.name].command} --model {folder}"
    print_line(f"{folder}: weights.safetensors, record.json, metrics.csv; use it with {use}")
