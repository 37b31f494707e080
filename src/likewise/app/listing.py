"""The wall: images in an order and through a filter, with what is known of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from likewise.app.answers import Answer, Answers
from likewise.app.photos import Photo
from likewise.app.project import Decision, Project
from likewise.app.schemas import ImageClassOut, ImageOut

SPREAD = 0.7
"""Spread of an object's area over images in units of log e, if the examples are too few to measure it."""


class Listing:
    """Lists the images of a project."""

    def __init__(self, project: Project, answers: Answers) -> None:
        self.project, self.answers = project, answers

    def select(
        self, sort: str, filter: str, *, descending: bool = False, class_id: int | None = None, search: str = ""
    ) -> list[Photo]:
        """Return images that pass the filter in an order: those with the least of `sort` first; unknown values last."""
        project = self.project
        passes = self._filter(filter, class_id)
        photos = [photo for photo in project.present() if passes(photo) and search.casefold() in photo.name.casefold()]
        if sort != "name":
            value = self._value(sort, class_id)
            keyed = [(value(photo), photo) for photo in photos]
            known = [(own, index, photo) for index, (own, photo) in enumerate(keyed) if own is not None]
            known.sort(key=lambda one: (-one[0] if descending else one[0], one[1]))
            return [photo for _, _, photo in known] + [photo for own, photo in keyed if own is None]
        return photos[::-1] if descending else photos

    def _filter(self, name: str, class_id: int | None) -> Callable[[Photo], bool]:
        project, decision = self.project, self.project.decision
        if name in ("new", "accepted", "edited", "absent"):
            return lambda photo: decision(photo.id).status == name
        if name == "examples":
            return lambda photo: decision(photo.id).example
        if name == "unseen":
            return lambda photo: not photo.seen and decision(photo.id).status == "new"
        if name == "unreadable":
            return lambda photo: photo.error is not None
        if name == "changed":
            return lambda photo: (self._changed(photo) or 0) > 0
        if name == "present":
            ids = {class_id} if class_id is not None else set(project.classes)
            return lambda photo: any(own.area > 0 for own in self.classes(photo) if own.id in ids)
        return lambda photo: True

    def _value(self, sort: str, class_id: int | None) -> Callable[[Photo], float | None]:
        def best(photo: Photo) -> ImageClassOut | None:
            classes = [own for own in self.classes(photo) if class_id in (None, own.id)]
            return max(classes, key=lambda own: own.presence, default=None)

        def review(photo: Photo) -> float | None:
            own = best(photo)
            if own is None or self.project.decision(photo.id).status != "new":
                return None
            return own.presence * own.quality if own.presence > 0.1 else 1 - own.presence

        if sort == "unlikely":
            usual = self.usual_areas()
            return lambda photo: self.unlikely(photo, usual)
        values: dict[str, Callable[[Photo], float | None]] = {
            "presence": lambda photo: own.presence if (own := best(photo)) else None,
            "quality": lambda photo: own.quality if (own := best(photo)) else None,
            "changed": self._changed,
            "unseen": lambda photo: float(photo.seen or self.project.decision(photo.id).status != "new"),
            "review": review,
        }
        return values[sort]

    def _changed(self, photo: Photo) -> float | None:
        answer = self.answers.answer(photo.id)
        return answer.changed if answer and self.project.decision(photo.id).status == "new" else None

    def classes(self, photo: Photo) -> list[ImageClassOut]:
        """Return what is known of each class in an image; of an accepted mask that it is there, or not."""
        decision, classes = self.project.decision(photo.id), self.project.classes
        if decision.status != "new":
            return [
                ImageClassOut.model_construct(
                    id=id, presence=float(id in decision.areas), quality=1.0, area=decision.areas.get(id, 0.0)
                )
                for id in classes
            ]
        answer = self.answers.answer(photo.id)
        return [] if answer is None else [_class_out(id, answer) for id in answer.presence if id in classes]

    def usual_areas(self) -> dict[int, tuple[float, float]]:
        """Return the mean and the spread of the logarithm of each class's area in accepted masks."""
        logs: dict[int, list[float]] = {}
        for decision in list(self.project.decisions.values()):
            for id, area in dict(decision.areas).items():
                logs.setdefault(id, []).append(math.log(area))
        return {id: (float(np.mean(own)), max(float(np.std(own)), SPREAD)) for id, own in logs.items()}

    def unlikely(self, photo: Photo, usual: dict[int, tuple[float, float]]) -> float | None:
        """Return by how many spreads the area of a class differs from the usual one; the largest of all classes."""
        found = [
            abs(math.log(own.area) - usual[own.id][0]) / usual[own.id][1]
            for own in self.classes(photo)
            if own.area > 0 and own.id in usual
        ]
        return max(found, default=None)

    def items(self, photos: Iterable[Photo]) -> list[ImageOut]:
        """Return images as the API shows them."""
        usual = self.usual_areas()
        return [self._item(photo, self.project.decision(photo.id), usual) for photo in photos]

    def _item(self, photo: Photo, decision: Decision, usual: dict[int, tuple[float, float]]) -> ImageOut:
        classes = self.classes(photo)
        best = max(classes, key=lambda own: own.presence, default=None)
        return ImageOut.model_construct(
            id=photo.id,
            name=photo.name,
            width=photo.width,
            height=photo.height,
            status=decision.status,
            example=decision.example,
            seen=photo.seen,
            classes=classes,
            presence=best.presence if best else None,
            quality=best.quality if best else None,
            area=best.area if best else None,
            unlikely=self.unlikely(photo, usual),
            changed=self._changed(photo),
            mask=self.answers.mask_version(photo),
            pixels=photo.version,
            error=photo.error,
        )


def _class_out(id: int, answer: Answer) -> ImageClassOut:
    return ImageClassOut.model_construct(
        id=id, presence=answer.presence[id], quality=answer.quality[id], area=answer.area[id]
    )
