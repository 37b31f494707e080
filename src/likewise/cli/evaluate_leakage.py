"""`likewise evaluate leakage`: novel classes in the training images of PASCAL-5i."""

from likewise.cli import evaluate_options as evaluation
from likewise.cli.console import print_line
from likewise.errors import DataSetError


def leakage(data: evaluation.Data) -> None:
    """Count, for each fold of PASCAL-5i, the training images that contain a novel class.

    Only the lists are read; the images may be absent.

    The setting data.drop_leaking=true of a recipe leaves these training images out.
    """
    from likewise.data.pascal import pascal_home, pascal_leakage, pascal_lists

    lists = pascal_lists(data, pascal_home(data), None)
    if lists is None:
        raise DataSetError(f"{data}: no lists in splits/pascal, such as trn/fold0.txt; the count needs them")
    for fold in range(4):
        print_line(f"fold {fold}: {pascal_leakage(lists, fold)}")
