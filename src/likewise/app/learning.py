"""The concept of a project, learned from its examples and merged with the concepts that were opened."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from likewise.app.photos import CACHE, CONCEPTS
from likewise.app.project import Project
from likewise.errors import ConceptError, LikewiseError, OutputError
from likewise.predict.concept import Concept
from likewise.predict.examples import Example
from likewise.predict.few_shot import FewShot

Marked = tuple[int, str | None, tuple[int, ...]]
"""An example: image, mask (None if the classes are absent), and the ids of the classes in it."""


class Learner:
    """Learns the concept of a project; each example once."""

    def __init__(self, project: Project, few_shot: FewShot) -> None:
        self.project, self.few_shot = project, few_shot
        self._model = few_shot.model_name, few_shot.backbone_name, few_shot.fingerprint, few_shot.side
        self._rows: dict[tuple[int, str | None, int], Concept] = {}

    def signature(self) -> tuple[list[Marked], tuple[Any, ...]]:
        """Return the examples (image, mask, classes), and all that the concept follows from."""
        project = self.project
        with project.lock:
            examples = [
                (id, decision.mask, tuple(sorted(set(decision.areas) & set(project.classes))))
                for id, decision in project.decisions.items()
                if decision.example and id in project.photos and not project.photos[id].missing
            ]
            concepts = sorted((digest, *ids) for digest, ids in project.concepts.items())
            settings = sorted((name, str(value)) for name, value in project.settings.items())
            return examples, (tuple(examples), tuple(concepts), tuple(sorted(project.classes)), tuple(settings))

    def learn(self, examples: Sequence[Marked]) -> Concept | None:
        """Return the concept of the examples; its classes are named by their ids."""
        of_concepts = (id for ids in self.project.concepts.values() for id in ids if id in self.project.classes)
        marked = sorted({id for _, _, classes in examples for id in classes} | {*of_concepts})
        parts: list[Concept] = []
        kept: dict[tuple[int, str | None, int], Concept] = {}
        for image, mask, classes in examples:
            for id in classes or (marked if mask is None else ()):
                key = (image, mask, id)
                try:
                    kept[key] = self._rows.get(key) or self._learn_one(*key)
                except LikewiseError as error:
                    self.project.events.send("problem", detail=str(error))
                    continue
                parts.append(kept[key])
        self._rows = kept
        parts += self._opened_concepts()
        return parts[0].merged(*parts[1:]).without_unshown() if parts else None

    def _opened_concepts(self) -> list[Concept]:
        parts = []
        for digest, ids in sorted(self.project.concepts.items()):
            try:
                concept = Concept.load(self.project.folder / CONCEPTS / f"{digest}.concept")
                part = replace(concept, classes=tuple(map(str, ids)))
                for id in [id for id in ids if id not in self.project.classes]:
                    part = part.without(str(id))
                self.few_shot.check(part)
                parts.append(part)
            except LikewiseError as error:
                self.project.events.send("problem", detail=str(error))
        return parts

    def _learn_one(self, image: int, mask: str | None, id: int) -> Concept:
        """Return the concept of one example of a class; from the cache, if it was learned before."""
        photo = self.project.photo(image)
        path = self.project.path(photo)
        kept = self.project.folder / CACHE / "examples" / f"{photo.digest}-{mask}-{id}.concept"
        with contextlib.suppress(ConceptError):
            if photo.digest:
                concept = Concept.load(kept)
                concept.check(*self._model)
                return concept
        if mask is None:
            example = Example(path, absent=True, class_name=str(id))
        else:
            example = Example(path, mask=self.project.masks.get(mask) == id, class_name=str(id))
        concept = self.few_shot.learn(example)
        with contextlib.suppress(OutputError):
            if photo.digest:
                concept.save(kept)
        return concept
