"""The wall: images in an order and through a filter, with what is known of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from likewise.app.answer import Answer
from likewise.app.answers import Answers
from likewise.app.photos import Photo
from likewise.app.project import Decision, Project
from likewise.app.schemas import ImageClassOut, ImageOut

SPREAD = 0.7
"""Spread of an object's area over images in units of log e, if the examples are too few to measure it."""
UNDECIDED = Decision()


class OfClass(NamedTuple):
    """What is known of a class in an image."""

    id: int
    presence: float
    quality: float
    area: float


class Known(NamedTuple):
    """What is known about each class in an image, and about the most probable one."""

    classes: tuple[OfClass, ...]
    best: OfClass | None


class Listing:
    """Lists the images of a project."""

    def __init__(self, project: Project, answers: Answers) -> None:
        self.project, self.answers = project, answers
        self._known: dict[int, tuple[Answer | None, Decision, Known]] = {}
        self._classes: tuple[int, ...] = ()

    def select(
        self, sort: str, filter: str, *, descending: bool = False, class_id: int | None = None, search: str = ""
    ) -> list[Photo]:
        """Return images that pass the filter in an order: those with the least of `sort` first; unknown values last."""
        photos = self.project.present()
        if filter != "all":
            passes = self._filter(filter, class_id)
            photos = [photo for photo in photos if passes(photo)]
        if search:
            photos = [photo for photo in photos if search.casefold() in photo.name.casefold()]
        if sort != "name":
            value = self._value(sort, class_id)
            keyed = [(value(photo), photo) for photo in photos]
            known = [(own, index, photo) for index, (own, photo) in enumerate(keyed) if own is not None]
            known.sort(key=lambda one: (-one[0] if descending else one[0], one[1]))
            return [photo for _, _, photo in known] + [photo for own, photo in keyed if own is None]
        return photos[::-1] if descending else photos

    def _filter(self, name: str, class_id: int | None) -> Callable[[Photo], bool]:
        decisions = self.project.decisions
        if name in ("new", "accepted", "edited", "absent"):
            return lambda photo: decisions.get(photo.id, UNDECIDED).status == name
        if name == "examples":
            return lambda photo: decisions.get(photo.id, UNDECIDED).example
        if name == "unseen":
            return lambda photo: not photo.seen and photo.id not in decisions
        if name == "unreadable":
            return lambda photo: photo.error is not None
        if name == "changed":
            return lambda photo: (self._changed(photo) or 0) > 0
        return lambda photo: any(own.area > 0 and class_id in (None, own.id) for own in self.known(photo).classes)

    def _value(self, sort: str, class_id: int | None) -> Callable[[Photo], float | None]:
        decisions = self.project.decisions

        def best(photo: Photo) -> OfClass | None:
            classes, best = self.known(photo)
            return best if class_id is None else next((own for own in classes if own.id == class_id), None)

        def review(photo: Photo) -> float | None:
            own = best(photo)
            if own is None or photo.id in decisions:
                return None
            return own.presence * own.quality if own.presence > 0.1 else 1 - own.presence

        if sort == "unlikely":
            usual = self.usual_areas()
            return lambda photo: self.unlikely(photo, usual)
        values: dict[str, Callable[[Photo], float | None]] = {
            "presence": lambda photo: own.presence if (own := best(photo)) else None,
            "quality": lambda photo: own.quality if (own := best(photo)) else None,
            "changed": self._changed,
            "unseen": lambda photo: float(photo.seen or photo.id in decisions),
            "review": review,
        }
        return values[sort]

    def _changed(self, photo: Photo) -> float | None:
        answer = self.answers.answer(photo.id)
        return answer.changed if answer and photo.id not in self.project.decisions else None

    def known(self, photo: Photo) -> Known:
        """Return what is known about an image; an accepted mask says which classes are there."""
        classes = tuple(self.project.classes)
        if classes != self._classes:
            self._known, self._classes = {}, classes
        answer, decision = self.answers.answer(photo.id), self.project.decisions.get(photo.id, UNDECIDED)
        kept = self._known.get(photo.id)
        if kept is not None and kept[0] is answer and kept[1] is decision:
            return kept[2]
        found: tuple[OfClass, ...] = ()
        if decision is not UNDECIDED:
            areas = decision.areas
            found = tuple(OfClass(id, float(id in areas), 1.0, areas.get(id, 0.0)) for id in classes)
        elif answer is not None:
            found = tuple(
                OfClass(id, answer.presence[id], answer.quality[id], answer.area[id])
                for id in answer.presence
                if id in classes
            )
        known = Known(found, max(found, key=lambda own: own.presence, default=None))
        self._known[photo.id] = answer, decision, known
        return known

    def usual_areas(self) -> dict[int, tuple[float, float]]:
        """Return the mean and the spread of the logarithm of each class's area in accepted masks."""
        logs: dict[int, list[float]] = {}
        for decision in list(self.project.decisions.values()):
            for id, area in decision.areas.items():
                logs.setdefault(id, []).append(math.log(area))
        return {id: (float(np.mean(own)), max(float(np.std(own)), SPREAD)) for id, own in logs.items()}

    def unlikely(self, photo: Photo, usual: dict[int, tuple[float, float]]) -> float | None:
        """Return by how many spreads the area of a class differs from the usual one; the largest of all classes."""
        found = [
            abs(math.log(own.area) - usual[own.id][0]) / usual[own.id][1]
            for own in self.known(photo).classes
            if own.area > 0 and own.id in usual
        ]
        return max(found, default=None)

    def items(self, photos: Iterable[Photo]) -> list[ImageOut]:
        """Return images as the API shows them."""
        usual = self.usual_areas()
        return [self._item(photo, usual) for photo in photos]

    def _item(self, photo: Photo, usual: dict[int, tuple[float, float]]) -> ImageOut:
        decision, (classes, best) = self.project.decision(photo.id), self.known(photo)
        return ImageOut.model_construct(
            id=photo.id,
            name=photo.name,
            width=photo.width,
            height=photo.height,
            status=decision.status,
            example=decision.example,
            seen=photo.seen,
            classes=[ImageClassOut.model_construct(**own._asdict()) for own in classes],
            presence=best.presence if best else None,
            quality=best.quality if best else None,
            area=best.area if best else None,
            unlikely=self.unlikely(photo, usual),
            changed=self._changed(photo),
            mask=self.answers.mask_version(photo),
            pixels=photo.version,
            error=photo.error,
        )
