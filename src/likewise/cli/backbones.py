"""`likewise backbones`: the backbones and where their weights come from."""

from likewise.cli.console import new_table, print_table


def backbones() -> None:
    """List the backbones."""
    from likewise.backbones.specs import BACKBONES

    sources = {"bundled": "bundled", "hub": "Hugging Face hub, or --weights FILE", "none": "--weights FILE"}
    table = new_table("backbone", "description", "strides", "weights")
    for spec in BACKBONES.values():
        strides = sorted({tap.stride for tap in spec.taps})
        table.add_row(spec.name, spec.about, " ".join(map(str, strides)), sources[spec.weights])
    table.add_row("a timm model", "any model with feature maps, such as convnext_tiny", "", sources["hub"])
    print_table(table)
