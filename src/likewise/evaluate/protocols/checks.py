"""Checks that a protocol can draw the requested episodes from a data set."""

from likewise.data.episodes import EpisodeSet
from likewise.errors import ArgumentError, DataSetError


def require_one_way(name: str, ways: int) -> None:
    """Raise `ArgumentError` unless `ways` is 1."""
    if ways != 1:
        raise ArgumentError(f"{name} is a 1-way protocol, not {ways}-way; panet-2019 and likewise-1 allow several ways")


def require_classes(name: str, dataset: EpisodeSet, ways: int) -> None:
    """Raise `ArgumentError` unless the data set has `ways` classes."""
    if not 1 <= ways <= len(dataset.classes):
        raise ArgumentError(
            f"{name}: {ways}-way needs {ways} classes, and {dataset.name} has {len(dataset.classes)}; lower the ways"
        )


def require_images(dataset: EpisodeSet, class_name: str, supports: int) -> None:
    """Raise `DataSetError` unless a class has a query and `supports` other images."""
    images = set(dataset.images_of[class_name])
    if len(images) <= supports:
        raise DataSetError(
            f"class {class_name!r} of {dataset.name} has {len(images)} images; an episode needs a query and "
            f"{supports} others"
        )
