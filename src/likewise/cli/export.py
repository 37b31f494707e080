"""`likewise export`: a model or a concept as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.console import print_line
from likewise.errors import requires_extra


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A name of [bold]likewise models[/bold], a run, weights, or a .concept file."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files; created if missing.")],
    concept_model: Annotated[
        str | None,
        typer.Option("--model", help="For a .concept: the model that it was learned with. \\[the bundled one]"),
    ] = None,
    backbone: options.BackboneName = "lite0",
    weights: options.Weights = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with torch and print the largest difference.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export in the folder.")] = False,
) -> None:
    """Write a model as ONNX files that run without torch, with a card that says how to use them.

    The folder serves as --model of segment, learn, cosegment, saliency and parse. A .concept becomes one graph for
    other programs: an image in, probabilities out.

    [dim]likewise export cat.concept -o cat-onnx --check[/dim]
    """
    with requires_extra("export", "exporting"):
        from likewise.export.folder import export_baked, export_model

    if model.endswith(".concept"):
        done = export_baked(model, out, model=concept_model, weights=weights, check=check, force=force)
    else:
        name, _, taps = backbone.partition("@")
        read_at = taps.split("+") if taps else ()
        done = export_model(model, out, backbone=name, taps=read_at, weights=weights, check=check, force=force)
    for file in done.files:
        print_line(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    for graph, largest in done.differences:
        print_line(f"{graph}: largest difference from torch {largest:.1e}, as a share of the largest value")
    print_line(f"{out}: {done.name}, {done.method}; README.md says how to use it")
