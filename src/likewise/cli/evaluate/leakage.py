"""`likewise evaluate leakage`: novel classes in the training images of PASCAL-5i."""

from likewise.cli.console import print_line
from likewise.cli.evaluate import options as evaluation


def leakage(data: evaluation.Data) -> None:
    """Count, for each fold of PASCAL-5i, the training images that contain a novel class.

    Only the lists are read; the images may be absent.

    The setting data.drop_leaking=true of a recipe leaves these training images out.
    """
    from likewise.data.pascal import pascal_leakage

    for fold, leaking in enumerate(pascal_leakage(data)):
        print_line(f"fold {fold}: {leaking}")
