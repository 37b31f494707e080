"""Train by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from likewise.cli.options import complain, say

if TYPE_CHECKING:
    from likewise.train.recipes.schema import Recipe


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A name of [bold]likewise recipes[/bold], or a YAML file.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Settings changed: data.root=VOC steps=800 ...")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="RUN", help="The run's folder. \\[runs/ and the recipe's name]"),
    ] = None,
) -> None:
    """Train a model by a recipe.

    A run that was stopped, at whatever step, goes on from its last checkpoint when it is started again, and ends with
    the weights of a run that never was.

    [dim]likewise train panet-voc-small data.root=PASCAL data.fold=1 -o runs/fold1[/dim]
    """
    from likewise.errors import TrainingError
    from likewise.train.loop import train as run_training
    from likewise.train.recipes.load import load_recipe

    try:
        chosen = load_recipe(recipe, overrides or ())
        folder = run_training(chosen, out)
    except TrainingError as error:
        complain(f"likewise: {error}")
        raise typer.Exit(2) from error
    say(f"{folder}: weights.safetensors, record.json, metrics.csv; use it with {used_by(chosen)} --model {folder}")


def used_by(recipe: Recipe) -> str:
    """The command that takes the recipe's model."""
    if recipe.model.name in ("mcibi", "fcn"):
        return "likewise parse"
    return {"icnet": "likewise cosegment", "saliency": "likewise saliency"}.get(recipe.model.name, "likewise segment")


def recipes() -> None:
    """List the recipes."""
    from likewise.train.recipes.load import load_recipe, recipe_names

    for name in recipe_names():
        recipe = load_recipe(name)
        say(f"{name}: {recipe.model.name} on {recipe.model.backbone}, {recipe.data.set}, {recipe.steps} steps")
        for what, told in recipe.source:
            say(f"    {what}: {told}")
