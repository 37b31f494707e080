"""Annotations and concepts that exist already, as examples of a project."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from likewise.app.photos import CONCEPTS, Photo
from likewise.app.project import Project, mask_state
from likewise.app.store import State
from likewise.errors import ConceptError, DataSetError
from likewise.io.annotations import AnnotatedImage, read_annotations
from likewise.io.paths import pairing_key, real
from likewise.predict.concept import Concept
from likewise.predict.few_shot import FewShot


def open_annotations(project: Project, path: Path, *, as_example: bool) -> tuple[list[int], list[str]]:
    """Accept the masks of an annotation file; returns the ids of their images, and the names that the project lacks.

    Images that a person decided keep their masks.

    Raises:
        DataSetError: see `likewise.io.annotations.read_annotations`; or no image is of the project.
    """
    found = read_annotations(path, images=project.root)
    by_path = {real(project.path(photo)): photo for photo in project.present()}
    by_name = {pairing_key(photo.name): photo for photo in by_path.values()}
    matched: list[tuple[Photo, AnnotatedImage]] = []
    unmatched: list[str] = []
    for image in found.images:
        photo = by_path.get(real(image.image)) if isinstance(image.image, Path) else None
        photo = photo or by_name.get(pairing_key(image.name))
        if photo is None:
            unmatched.append(image.name)
        elif image.objects and project.decision(photo.id).status == "new":
            matched.append((photo, image))
    if not matched:
        raise DataSetError(
            f"{path}: none of its {len(found)} images is in the project with objects and without a decision; open the "
            "folder of its images"
        )
    ids = ensure_classes(project, {one.class_name for _, image in matched for one in image.objects if not one.crowd})
    states: dict[str, State] = {}
    for photo, image in matched:
        if image.size != (size := project.size(photo)):
            raise DataSetError(f"{image.name}: annotated at {image.size}, its image is {size} (height, width)")
        labels = np.array([0, *ids.values()], np.uint8)[image.labels(tuple(ids), crowds=False)]
        states[f"image:{photo.id}"] = mask_state(project, labels, "accepted", example=as_example)
    project.step("open annotations", states)
    return [photo.id for photo, _ in matched], unmatched


def open_concept(project: Project, few_shot: FewShot, content: bytes) -> None:
    """Add the examples of a concept file.

    Raises:
        ConceptError: it is damaged, or of another model.
    """
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = project.folder / CONCEPTS / f"{digest}.concept"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    try:
        concept = Concept.load(path)
        few_shot.check(concept)
    except ConceptError:
        path.unlink()
        raise
    ids = ensure_classes(project, set(concept.classes))
    project.step("open concept", {f"concept:{digest}": {"classes": [ids[name] for name in concept.classes]}})


def ensure_classes(project: Project, names: set[str]) -> dict[str, int]:
    """Return the ids of classes by name; those that the project lacks are added."""
    ids = {one.name: one.id for one in project.classes.values()}
    return {name: ids[name] if name in ids else project.add_class(name).id for name in sorted(names)}
