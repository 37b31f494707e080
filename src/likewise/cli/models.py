"""`likewise models`: the models and where their weights come from."""

from likewise.cli.console import new_table, print_line, print_table
from likewise.weights import DEFAULT_MODEL


def models() -> None:
    """List the models."""
    from likewise.weights.names import MODELS

    table = new_table("model", "description", "weights", "engine")
    for name, entry in MODELS.items():
        weights = "the backbone's"
        if entry.file or entry.published:
            weights = "bundled" if entry.file else "its authors' checkpoint: --weights FILE"
        about = entry.about + ("; the default" if name == DEFAULT_MODEL else "")
        table.add_row(name, about, weights, "onnx, torch" if entry.onnx else "torch")
    table.add_row("a folder", "a run of [bold]likewise train[/]", "in the folder", "torch")
    table.add_row("a folder", "a model written by [bold]likewise export[/]", "in the folder", "onnx")
    table.add_row("a file", "a checkpoint converted by [bold]likewise weights import[/]", "in the file", "torch")
    print_table(table)
    print_line("onnx is always installed; torch needs: pip install 'likewise[torch]'")
