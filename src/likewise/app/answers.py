"""The concept of a project, and its answer for each image, kept current in the background.

    examples -> concept -> segmenter ---+
    image -> features (on disk) --------+--> answer: presence, expected IoU, area; a mask when it is asked for

One thread computes features of images that have none, and answers all images again after each step. The images on
screen are first. Masks are computed on request, in the thread of the request.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from cachetools import LRUCache

from likewise.app.answer import Answer, Pass, difference, shrink, to_answer, to_network_answer
from likewise.app.features import Encoder
from likewise.app.learning import Learner
from likewise.app.masks import Labels, digest_of
from likewise.app.network import SIDE, Network, Networks, last_trained
from likewise.app.photos import ConflictError, Photo
from likewise.app.pixels import THUMBNAIL, drop_old_thumbnails, read_small, thumbnail
from likewise.app.project import Project
from likewise.engine.threads import one_blas_thread
from likewise.errors import LikewiseError
from likewise.io.images import ScaledImage, read_scaled
from likewise.io.prefetch import prefetch
from likewise.predict.edges import LARGEST
from likewise.predict.few_shot import FewShot
from likewise.predict.result import Result
from likewise.predict.segmenter import Segmenter

CHUNK = 64
"""Images that are answered between two looks at what is on screen."""
EVERY = 8
"""Chunks between two events."""
KEPT_MASKS = 128 << 20
"""Bytes of masks in memory."""
KEPT_DIGESTS = 1 << 16
"""Masks that pages have loaded, and whose digests are kept; less than 20 MB."""
COURTESY = 0.4
"""Seconds after a mark for which the background waits, since the next mark may follow."""


class Answers:
    """Answers of a project; `start` lets them follow it.

    Attributes:
        few_shot: the model.
        encoder, cache: features of images.
        networks: trained ones.
        current: the pass that is under way or done.
        features_done: images whose features are known, and all that can be read; None if all are known.
    """

    def __init__(self, project: Project, few_shot: FewShot | None = None) -> None:
        self.project = project
        self.few_shot = few_shot or FewShot(
            quality="fast", presence=project.settings["presence"], edges=project.settings["edges"]
        )
        self.encoder = Encoder(project, self.few_shot)
        self.cache = self.encoder.cache
        self.learner = Learner(project, self.few_shot)
        self.current = Pass()
        self.features_done: tuple[int, int] | None = None
        self._answers: dict[int, Answer] = {}
        self.networks = Networks(project)
        self._masks: LRUCache[tuple[int, str], Labels] = LRUCache(KEPT_MASKS, getsizeof=lambda labels: labels.nbytes)
        self._loaded: LRUCache[tuple[int, str], tuple[int | None, bytes]] = LRUCache(KEPT_DIGESTS)
        self._session = secrets.token_hex(3)
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._stop = False
        self._examples: tuple[Any, ...] = ()
        self._visible: list[int] = []
        self._marked = 0.0
        self._threads = contextlib.ExitStack()
        self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 2, thread_name_prefix="answers")
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)

    def start(self) -> None:
        self.project.listener = self._wake.set
        self._threads.enter_context(one_blas_thread())
        self._wake.set()
        self._thread.start()

    def stop(self) -> None:
        self._stop = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
            self._threads.close()
        self._pool.shutdown()

    def show(self, ids: Sequence[int]) -> None:
        """Answer these images first."""
        self._visible = list(ids)

    def wait_a_moment(self) -> None:
        """Leave the processor to a person who marks an object."""
        self._marked = time.monotonic()

    def answer(self, id: int) -> Answer | None:
        """Return the latest answer for an image."""
        return self._answers.get(id)

    def mask_version(self, photo: Photo) -> str:
        """Return a text that changes with the mask of an image."""
        decision = self.project.decision(photo.id)
        if decision.status == "absent":
            return "absent"
        if decision.mask:
            return f"{decision.mask}-{hash(tuple(self.project.classes)) & 0xFFFFFFFF:x}"
        return self._computed_version(photo, self.current)

    def is_decided_mask(self, photo: Photo, version: str) -> bool:
        """Whether a version is that of the decided mask of an image, also if classes have changed since."""
        return version.partition("-")[0] == self.mask_version(photo).partition("-")[0]

    def _computed_version(self, photo: Photo, current: Pass) -> str:
        """Return the version of a computed mask; passes count from 0 in each session."""
        return f"{photo.version}-{self._session}-{current.number}"

    def labels(self, id: int, side: int | None = None, of: str | None = None) -> Labels:
        """Return the current mask of an image: the accepted one, or the answer with outlines refined.

        Args:
            side: of the long side of a small mask; None is the size of the image.
            of: "concept" or "network": the answer of one of them, whatever is accepted.

        Raises:
            ImageError: the image cannot be read.
        """
        accepted = None if of else self.project.mask(id)
        if accepted is not None:
            return accepted if side is None else shrink(accepted, side)
        current = self.current
        network = self.networks.open(last_trained(self.project)) if of == "network" else None if of else current.network
        return self._compute(self.project.photo(id), side, current, network)

    def loaded(self, id: int, version: str, side: int | None, labels: Labels, *, is_current: bool) -> None:
        """Keep what a page has loaded as a version of a mask; of several sizes, the largest.

        Args:
            is_current: whether `labels` are of that version; if not, they count only without others.
        """
        key, digest = (id, version), digest_of(labels)
        with self._lock:
            before = self._loaded.get(key)
            if before is None or (is_current and (side or math.inf) > (before[0] or math.inf)):
                self._loaded[key] = side, digest

    def seen_labels(self, id: int, seen: str) -> Labels | None:
        """Return the computed mask of an image, if it is the one that a person saw; None if it is another one.

        A later pass has another version, but often the same mask. A version that no page has loaded was seen without
        a mask: it is empty, or there was no class to draw.

        Args:
            seen: the version of the mask on screen.
        """
        photo, current = self.project.photo(id), self.current
        labels = self._compute(photo, None, current, current.network)
        version = self._computed_version(photo, current)
        if seen == version:
            return labels
        if seen.rpartition("-")[0] != version.rpartition("-")[0]:  # of another image, session or decision
            return None
        with self._lock:
            before = self._loaded.get((id, seen))
        if before is None:
            return None if labels.any() else labels
        side, digest = before
        same_size = labels if side is None else self._compute(photo, side, current, current.network)
        return labels if digest_of(same_size) == digest else None

    def _compute(self, photo: Photo, side: int | None, current: Pass, network: Network | None) -> Labels:
        """Return the answer of a network or, without one, of the concept of a pass."""
        project = self.project
        key = (photo.id, f"{photo.version}-{current.number}-{side}-{network.name if network else None}")
        with self._lock:
            if key in self._masks:
                return self._masks[key]
        if network is None and current.segmenter is None:
            height, width = project.size(photo)
            return shrink(np.zeros((height, width), np.uint8), side or max(height, width))
        path = project.path(photo)
        if network is not None:
            labels = network.parse(path)[0] if side is None else shrink(network.parse(read_small(path, SIDE))[0], side)
        else:
            small = path if side is None or side > THUMBNAIL else thumbnail(project, photo)
            image = read_scaled(path, LARGEST) if side is None else read_scaled(read_small(small, side))
            labels = np.array([0, *current.classes], np.uint8)[self.result(photo, image, current).labels]
        with self._lock, contextlib.suppress(ValueError):  # larger than all room
            self._masks[key] = labels
        return labels

    def result(self, photo: Photo, image: ScaledImage, current: Pass) -> Result:
        """Return the full answer for an image."""
        assert current.segmenter is not None
        return current.segmenter.from_features(self.encoder.features(photo), image)

    # the background

    def _run(self) -> None:
        self._guarded(self._open)
        while not self._stop:
            self._wake.wait()
            self._wake.clear()
            self._guarded(self._catch_up)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do some work; an error is shown, and ends only this piece of it."""
        try:
            work()
        except Exception as error:
            self.project.events.send("problem", detail=str(error) or type(error).__name__)
            if not isinstance(error, LikewiseError):
                traceback.print_exc()

    def _open(self) -> None:
        self.project.scan()
        self.cache.keep_only({photo.digest for photo in self.project.photos.values() if photo.digest})
        drop_old_thumbnails(self.project)

    def _catch_up(self) -> None:
        self.project.read_headers()
        self.project.drop_unfit_masks()
        self._follow()
        self._answer_all()
        self._compute_features()

    def _interrupted(self) -> bool:
        """Whether there is something newer to do; waits while a person marks an object."""
        while not self._stop and (rest := self._marked + COURTESY - time.monotonic()) > 0:
            time.sleep(rest)
        return self._stop or self._wake.is_set()

    def _follow(self) -> None:
        """Learn the concept again if examples, classes or settings have changed, and begin a pass."""
        project = self.project
        examples, signature = self.learner.signature()
        if signature == self._examples:
            return
        if examples:
            project.events.send("progress", task="answers", done=0, total=len(project.present()))
        concept = self.learner.learn(examples)
        segmenter: Segmenter | None = None
        classes: tuple[int, ...] = ()
        if concept is not None:
            self.few_shot.presence = project.settings["presence"]
            self.few_shot.edges = project.settings["edges"]
            segmenter, classes = self.few_shot.prepare(concept), tuple(map(int, concept.classes))
        network: Network | None = None
        if project.settings.get("network"):
            with contextlib.suppress(ConflictError):  # its folder was deleted
                network = self.networks.open(project.settings["network"])
        self.current = Pass(self.current.number + 1, segmenter, classes, network)
        self._examples = signature  # last: from now on the pass is that of the examples
        project.changed("answers", images=None)

    def is_current(self) -> bool:
        """Whether the concept is that of the examples, classes and settings of now."""
        return self.learner.signature()[1] == self._examples

    def _answer_all(self) -> None:
        """Answer all images whose features are known, the visible ones first."""
        current, project = self.current, self.project
        if not current.answers:
            self._answers = {}
            return
        waiting = {
            photo.id: photo
            for photo in project.present()
            if photo.digest in self.cache and self._is_old(photo, current)
        }
        current.total = current.done + len(waiting)
        chunks = 0
        while waiting and not self._interrupted():
            visible = dict.fromkeys(id for id in self._visible if id in waiting)
            photos = [waiting.pop(id) for id in islice(visible, CHUNK)]
            photos += [waiting.pop(id) for id in list(islice(waiting, CHUNK - len(photos)))]
            for photo, answer in zip(
                photos, self._pool.map(lambda each: self._answer(each, current), photos), strict=True
            ):
                self._keep(photo, answer, current)
            current.done += len(photos)
            chunks += 1
            if not waiting or chunks % EVERY == 1:
                self._report(current)

    def _is_old(self, photo: Photo, current: Pass) -> bool:
        answer = self._answers.get(photo.id)
        return answer is None or answer.number != current.number

    def _answer(self, photo: Photo, current: Pass) -> Answer | None:
        if current.network is not None:
            try:
                return to_network_answer(*current.network.parse(read_small(self.project.path(photo), SIDE)), current)
            except LikewiseError:
                return None
        features = self.cache.get(photo.digest or "")
        return None if features is None else to_answer(features, current)

    def _keep(self, photo: Photo, answer: Answer | None, current: Pass) -> None:
        if answer is None:
            return
        before = self._answers.get(photo.id)
        if before is not None and before.labels.shape == answer.labels.shape and before.number != answer.number:
            answer = replace(answer, changed=difference(before.labels, answer.labels))
            current.changes.append(answer.changed or 0.0)
        self._answers[photo.id] = answer

    def _report(self, current: Pass) -> None:
        changes = [change for change in current.changes if change > 0]
        self.project.events.send(
            "answers",
            answered=current.number,
            done=current.done,
            total=current.total,
            changed=len(changes),
            mean_change=float(np.mean(changes)) if changes else 0.0,
        )

    def _compute_features(self) -> None:
        """Compute the features of images that have none, the visible ones first, and answer them."""
        photos = [photo for photo in self.project.present() if not photo.error]
        lacking = {photo.id: photo for photo in photos if photo.digest not in self.cache}
        if not lacking:
            self.features_done = None
            return
        done = len(photos) - len(lacking)

        def ordered() -> Iterable[Photo]:
            while lacking:
                id = next((id for id in self._visible if id in lacking), next(iter(lacking)))
                yield lacking.pop(id)

        updates: dict[int, dict[str, Any]] = {}
        for photo, reading in prefetch(ordered(), self.encoder.read):
            if self._interrupted():
                break
            try:
                digest, resized = reading.result()
                features = self.encoder.encode(digest, resized)
                updates[photo.id] = {"digest": digest}
                if self.current.segmenter is not None and self.current.network is None:
                    self._keep(photo, to_answer(features, self.current), self.current)
            except LikewiseError as error:
                updates[photo.id] = {"error": str(error)}
            done += 1
            self.features_done = (done, len(photos))
            if done % EVERY == 0 or done == len(photos):
                self.project.update_photos(updates)
                updates = {}
                self.project.events.send("progress", task="features", done=done, total=len(photos))
        self.project.update_photos(updates)
        if done == len(photos):
            self.features_done = None
            self.project.changed("features", images=None)
