"""Masks of what images share, before anything is marked: proposals to accept or reject."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from likewise.app.photos import Photo, UnknownError
from likewise.app.project import Project
from likewise.app.tasks import Task
from likewise.errors import ArgumentError
from likewise.io.paths import ImageFile, real
from likewise.predict.co_saliency import CoSaliency
from likewise.predict.examples import DEFAULT_CLASS

MOST = 200
"""Images of a group, unless they are named: more add time, and little to what they share."""


class Suggestions:
    """Co-saliency over images of a project.

    Attributes:
        proposals: masks by the id of their image, the best first.
        class_id: of the proposals, unless another one is accepted.
        outsiders: ids of images that share little with the others.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.task = Task("suggest", project.events)
        self.proposals: dict[int, Bool[np.ndarray, "h w"]] = {}
        self.outsiders: list[int] = []
        self.class_id: int | None = None

    def start(self, ids: Sequence[int] | None, count: int, class_id: int | None = None) -> None:
        """Look for what the images share, in the background; without `ids` in up to `MOST` images of all.

        Raises:
            ArgumentError: fewer than two images.
            ConflictError: it is running.
            UnknownError: an image that is not in the project.
        """
        if ids is None:
            photos = [photo for photo in self.project.present() if not photo.error]
            photos = (
                [photos[at] for at in np.unique(np.linspace(0, len(photos) - 1, MOST).astype(int))] if photos else []
            )
        else:
            photos = [self.project.photo(id) for id in dict.fromkeys(ids)]
        if len(photos) < 2:
            raise ArgumentError(f"{len(photos)} readable images share nothing; give two or more")
        if class_id is not None:
            self.project.class_(class_id)
        self.task.start(lambda: self._suggest(photos, count))
        self.class_id = class_id

    def _suggest(self, photos: Sequence[Photo], count: int) -> None:
        self.proposals, self.outsiders = {}, []
        by_name = {photo.name: photo.id for photo in photos}
        files = [ImageFile(real(self.project.path(photo)), photo.name) for photo in photos]
        by_path = {str(file.path): by_name[file.name] for file in files}
        cosaliency = CoSaliency()
        total = 2 * len(files)
        group = cosaliency.learn(files, progress=lambda done, _: self.task.report(done, total))
        self.outsiders = [by_name[name] for name in group.health().outsiders]
        kept = [file for file in files if by_name[file.name] not in self.outsiders]
        skipped = len(files) - len(kept)
        examples = cosaliency.examples(
            kept, group, count=count, progress=lambda done, _: self.task.report(len(files) + skipped + done, total)
        )
        self.proposals = {by_path[example.name]: np.asarray(example.mask) for example in examples}

    def proposal(self, id: int) -> Bool[np.ndarray, "h w"]:
        """Return the proposed mask of an image.

        Raises:
            UnknownError: there is none.
        """
        if id not in self.proposals:
            raise UnknownError(f"no proposal for image {id}; load the list of proposals again")
        return self.proposals[id]

    def accept(self, id: int, class_id: int | None) -> None:
        """Make a proposal an accepted example of a class, by default of that of `start`, or the first, or a new one."""
        mask, classes = self.proposal(id), self.project.classes
        class_id = class_id or self.class_id or min(classes, default=None)
        if class_id is None:
            class_id = self.project.add_class(DEFAULT_CLASS).id
        self.project.accept(id, mask * np.uint8(self.project.class_(class_id).id), "accepted", example=True)
        del self.proposals[id]

    def reject(self, id: int) -> None:
        """Drop a proposal."""
        self.proposal(id)
        del self.proposals[id]
