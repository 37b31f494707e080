"""`likewise models`: the models and where their weights come from."""

from likewise.cli.console import new_table, print_table
from likewise.predict import DEFAULT_MODEL

PAPERS = {"panet": "PANet (ICCV 2019)", "hsnet": "HSNet (ICCV 2021)", "icnet": "ICNet (NeurIPS 2020)"}


def models() -> None:
    """List the models."""
    from likewise.predict.co_saliency import DEFAULT_GROUP_MODEL
    from likewise.predict.saliency import DEFAULT_SALIENCY
    from likewise.weights.few_shot import BUNDLED_MODELS
    from likewise.weights.load import bundled
    from likewise.weights.published import BY_EXAMPLE, CHECKPOINTS

    checkpoint = "its authors' checkpoint: --weights FILE"
    table = new_table("model", "description", "weights")
    for name in bundled(*BUNDLED_MODELS):
        default = "; the default" if name == DEFAULT_MODEL else ""
        table.add_row(name, f"{PAPERS[name.partition('-')[0]]} on lite0, trained by us{default}", "bundled")
    table.add_row("panet", "PANet without training, on any backbone", "the backbone's")
    for name in BY_EXAMPLE:
        table.add_row(name, f"{PAPERS[name.partition('-')[0]]}, published network", checkpoint)
    for name in bundled(DEFAULT_GROUP_MODEL):
        table.add_row(name, f"{PAPERS['icnet']} on lite0 for groups, trained by us", "bundled")
    for name in (name for name, network in CHECKPOINTS.items() if network.method == "icnet"):
        table.add_row(name, f"{PAPERS['icnet']}, published network", checkpoint)
    for name in bundled(DEFAULT_SALIENCY):
        table.add_row(name, "saliency network on lite0, trained by us; its maps are ICNet's input", "bundled")
    table.add_row("a folder", "a run of [bold]likewise train[/]", "in the folder")
    table.add_row("a file", "a checkpoint converted by [bold]likewise weights import[/]", "in the file")
    print_table(table)
