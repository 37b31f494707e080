"""How many objects there are, and how large."""

from __future__ import annotations

import numpy as np

from likewise.app.answers import Answers
from likewise.app.project import Project
from likewise.app.schemas import Histogram, ObjectClass, ObjectRow
from likewise.io.components import label_pieces

BINS = 20
"""Bars of a histogram of areas."""


def object_rows(project: Project, answers: Answers, *, accepted: bool) -> list[tuple[ObjectRow, list[float]]]:
    """Return a row for each class in each image, and the share of the image of each of its objects.

    Args:
        accepted: only images that a person decided. Others count the pieces of the answer at the size of the features.
    """
    rows = []
    for photo in project.present():
        decision = project.decision(photo.id)
        pixels = (photo.width or 0) * (photo.height or 0)
        if decision.status != "new":
            total = decision.size[0] * decision.size[1] if decision.size else 1
            pieces = {id: [size / total for size in sizes] for id, sizes in decision.pieces.items()}
        elif accepted or (answer := answers.answer(photo.id)) is None:
            continue
        else:
            numbers = label_pieces(answer.labels)
            sizes = np.bincount(numbers.ravel()) / numbers.size
            pieces = {
                int(id): sizes[np.unique(numbers[answer.labels == id])].tolist()
                for id in np.unique(answer.labels)
                if id
            }
        for id, shares in pieces.items():
            if id in project.classes:
                share = sum(shares)
                row = ObjectRow.model_construct(
                    image=photo.id,
                    name=photo.name,
                    class_id=id,
                    objects=len(shares),
                    pixels=round(share * pixels),
                    share=share,
                )
                rows.append((row, shares))
    return rows


def class_summaries(project: Project, rows: list[tuple[ObjectRow, list[float]]]) -> list[ObjectClass]:
    """Return the numbers of each class, with a histogram of the areas of its objects."""
    found = []
    for one in sorted(project.classes.values(), key=lambda one: one.id):
        own = [shares for row, shares in rows if row.class_id == one.id]
        areas = np.array([share for shares in own for share in shares])
        counts, edges = np.histogram(areas, BINS, (0, max(areas.max(initial=0.0), 1e-6)))
        mean = float(areas.mean()) if len(areas) else None
        histogram = Histogram(edges=edges.tolist(), counts=counts.tolist())
        found.append(
            ObjectClass(
                id=one.id, name=one.name, images=len(own), objects=len(areas), area_mean=mean, histogram=histogram
            )
        )
    return found
