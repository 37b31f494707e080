"""`likewise recipes`: the recipes of `likewise train`."""

from likewise.cli.console import print_line
from likewise.errors import requires_extra


def recipes() -> None:
    """List the recipes."""
    with requires_extra("train", "training"):
        from likewise.train.recipes.load import load_recipe, recipe_names

    for name in recipe_names():
        recipe = load_recipe(name)
        print_line(f"{name}: {recipe.model.name} on {recipe.model.backbone}, {recipe.data.set}, {recipe.steps} steps")
        for key, value in recipe.source:
            print_line(f"    {key}: {value}")
