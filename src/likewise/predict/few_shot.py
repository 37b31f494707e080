"""Few-shot segmentation: examples in, masks at the size of each image out.

few_shot = FewShot()
concept = few_shot.learn(Example("cat.jpg", mask="cat.png"))
segmenter = few_shot.prepare(concept)
segmenter("another.jpg").mask
for result in segmenter.stream(paths): ...
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from likewise.engine.protocol import FeatureExtractor, Features
from likewise.engine.threads import images_at_once, one_blas_thread
from likewise.errors import (
    ArgumentError,
    ConceptError,
    ExampleError,
    LikewiseError,
    ModelError,
    check_known,
    warn,
    warnings_about,
)
from likewise.io.digests import pixels_key
from likewise.io.images import Source, read_image
from likewise.io.labels import MOST_CLASSES
from likewise.io.resize import LARGEST_SIDE
from likewise.predict.concept import Concept, concatenate, thumbnail
from likewise.predict.examples import MARKS, Example, mark
from likewise.predict.heads.features import FeatureHead, features_of
from likewise.predict.heads.open import open_head
from likewise.predict.heads.protocol import Mask
from likewise.predict.inputs import Inputs, Pixels
from likewise.predict.result import Result
from likewise.predict.second_look import FINER, PREFIX, QUALITIES
from likewise.predict.segmenter import Segmenter
from likewise.viz.draw import overlay
from likewise.weights import DEFAULT_MODEL, PRESENCE


class FewShot:
    """Segments images by a few examples.

    Several threads may use one `FewShot`, and one `Segmenter`, at the same time: no call changes them.

    Args:
        model: "prototypes-lite0", the default, or "panet-lite0", both bundled; "prototypes" or "panet", the same
            methods on any backbone, without training; a folder of `likewise train`; a published network, "panet-vgg16",
            "panet-resnet50", "panet-resnet101", "hsnet-vgg16", "hsnet-resnet50", "hsnet-resnet101", with its authors'
            checkpoint; or a file of `likewise weights import`.
        backbone: of "prototypes" and "panet": "lite0", bundled, or any name that
            `likewise.backbones.specs.backbone_spec` takes.
        taps: of "prototypes" and "panet": where features are read. Defaults to the best measured taps for lite0, to the
            deepest level otherwise.
        weights: a file: ImageNet weights of the backbone of "prototypes" or "panet", or the checkpoint of a published
            network. For "prototypes" also a training run of PANet, whose backbone it takes.
        side: images are resized to about `side` x `side` pixels, keeping their aspect. Defaults to 320, or to 400 for
            an HSNet on another backbone than lite0.
        engine: "onnx" runs the bundled models by ONNX Runtime, without torch; "torch" runs every model; "auto" takes
            the first where it can. Concepts pass between engines.
        device: "auto", "cpu", a torch device such as "cuda:1", or for the ONNX engine "coreml", "directml" or
            "openvino". "auto" is the CPU for the ONNX engine, and for torch the first accelerator if there is one.
        precision: "float32", or "bfloat16" where the device computes in it (torch).
        quality: "fast" looks at an image once; "balanced" looks again where the object may be, at twice the size
            (`likewise.predict.second_look`). Defaults to "balanced", and to "fast" for HSNet, which has no second look.
        edges: refine outlines to image edges (`likewise.predict.edges`).
        as_published: merge the shots of HSNet as its paper does, to compare with its numbers.
        world: a file of `likewise world`: what presence compares classes with, for models that bring none.
        presence: classes that are less likely than this to be in an image get an empty mask there. 0 marks the most
            similar region in every image. Models without a world mark it too.
        feature_cache: bytes of backbone features to keep, by image content, so that an image that comes again is not
            computed again (torch). 0 keeps none.

    Raises:
        ModelError: an unknown model, backbone, tap, engine, device or precision, or arguments that exclude each other.
        ArgumentError: a side out of range.
        WeightsError: weights that cannot be found or do not fit.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        backbone: str = "lite0",
        *,
        taps: Sequence[str | int] = (),
        weights: str | Path | None = None,
        side: int | None = None,
        engine: str = "auto",
        device: str = "auto",
        precision: str = "float32",
        quality: str | None = None,
        edges: bool = True,
        as_published: bool = False,
        world: str | Path | None = None,
        presence: float = PRESENCE,
        feature_cache: int = 0,
    ) -> None:
        self.arguments: dict[str, Any] = {
            "model": model,
            "backbone": backbone,
            "taps": [str(tap) for tap in taps],
            "weights": weights,
            "world": world,
            "as_published": as_published,
        }
        opened = open_head(
            str(model),
            backbone,
            tuple(map(str, taps)),
            weights,
            engine=engine,
            device=device,
            precision=precision,
            as_published=as_published,
            feature_cache=feature_cache,
            world=world,
        )
        self.head, self.model_name, self.trained_classes = opened.head, opened.name, opened.trained_classes
        self.engine, self.device, self.precision = opened.engine, opened.device, precision
        self.backbone_name, self.fingerprint = self.head.backbone, self.head.fingerprint
        self.world = opened.world
        self.edges, self.as_published = edges, as_published
        if isinstance(presence, bool) or not isinstance(presence, float | int | np.floating) or not 0 <= presence <= 1:
            raise ArgumentError(f"presence is {presence!r}; it is a probability, 0 to 1")
        self.presence = presence if self.world else 0.0
        self.side = self.head.side if side is None else side
        if not self.head.smallest <= self.side <= LARGEST_SIDE:
            raise ArgumentError(f"side is {side} pixels; this backbone needs {self.head.smallest} to {LARGEST_SIDE}")
        self.inputs = Inputs(self.side, self.head.smallest, self.head.multiple)
        self.finer_inputs = self.inputs._replace(side=FINER * self.side)
        self.quality = ("balanced" if self.head.finer_rows else "fast") if quality is None else quality
        check_known(self.quality, QUALITIES, "quality", ModelError)
        if self.quality != "fast" and not self.head.finer_rows:
            raise ModelError(f"{self.model_name} looks once: its quality is 'fast', not {quality!r}")

    def __repr__(self) -> str:
        return f"FewShot({self.model_name!r}, {self.backbone_name.partition('@')[0]!r}, side={self.side})"

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        local_files_only: bool = False,
        **options: Any,
    ) -> FewShot:
        """The model that `save_pretrained` or `push_to_hub` left; weights are checked against its fingerprint.

        Args:
            source: a folder, or ``owner/name`` on the Hugging Face hub (extra `hub`).
            revision: a branch, tag or commit of the repository.
            token: of the hub; by default that of `hf auth login` or HF_TOKEN.
            local_files_only: take an earlier download, and do not ask the hub.
            options: arguments of `FewShot` that replace the saved ones, such as `device`.

        Raises:
            HubError: a repository that is missing, gated or out of reach, or files that are not of likewise.
            WeightsError: other weights than the ones that were saved.
        """
        from likewise.predict.pretrained import open_folder

        return open_folder(cls, source, options, revision=revision, token=token, local_files_only=local_files_only)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json, a model card, and the files of weights and world that this machine has."""
        from likewise.predict.pretrained import save_folder

        save_folder(self, Path(folder))

    def push_to_hub(
        self,
        repository: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        revision: str | None = None,
        message: str = "Upload a model of likewise",
    ) -> str:
        """Commit what `save_pretrained` writes to ``owner/name`` on the hub; return the address of the commit.

        A README.md that the repository has stays.

        Args:
            private: of a new repository; by default as the account says.
            token: see `from_pretrained`.
            revision: see `from_pretrained`; a missing branch is made.

        Raises:
            HubError: the hub cannot be reached, or refuses.
        """
        from likewise.predict.pretrained import push_folder

        return push_folder(self, repository, private=private, token=token, revision=revision, message=message)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the probabilities before outlines are refined, for the records of a run."""
        return {
            "model": self.model_name,
            "backbone": self.backbone_name,
            "weights": self.fingerprint,
            "side": self.side,
            "quality": self.quality,
            "precision": self.precision,
            "world": self.world,
            "presence": self.presence,
        }

    @property
    def at_once(self) -> int:
        """How many images a folder's segmenter is best given at the same time; the torch engine computes one by one."""
        return images_at_once() if (self.engine, self.device) == ("onnx", "cpu") else 1

    @one_blas_thread()
    def learn(self, examples: Example | Iterable[Example], *, strict: bool = True, finer: bool = True) -> Concept:
        """Encode examples into a concept; one that is given twice counts once.

        Warns, with the name of the example, about an object too small for a level of the features.

        Args:
            strict: an example of several that cannot be read, or has no object, raises; otherwise it is left out with a
                warning, unless its class then has no example.
            finer: read the examples at the size of the second look too, so that the concept serves every quality.

        Raises:
            ImageError: a file that cannot be read, or a mask of another size than its image.
            ExampleError: no examples, an example without any object pixel, one that is not marked exactly once, or one
                that is given both as positive and as negative.
            ArgumentError: more than 254 classes.
        """
        examples = [examples] if isinstance(examples, Example) else list(examples)
        if wrong := next((each for each in examples if not isinstance(each, Example)), None):
            raise TypeError(
                f"{wrong!r} is not an Example; write Example(image, mask=...), or with a box, points or scribbles"
            )
        if not examples:
            raise ExampleError("no examples: give at least one image with a mask, a box, points or scribbles")
        classes = tuple(dict.fromkeys(example.class_name for example in examples))
        if len(classes) > MOST_CLASSES:
            raise ArgumentError(f"{len(classes)} classes; labels are 8-bit, so {MOST_CLASSES} is the most")
        rows, thumbnails, left_out, marked = [], [], [], []
        for example in examples:
            try:
                with warnings_about(example.name):
                    image, foreground, background = mark(example)
                    row = self._learn(image, foreground, background, absent=example.absent, finer=finer)
            except LikewiseError as error:
                left_out.append(example)
                if strict or {each.class_name for each in examples if each not in left_out} != set(classes):
                    raise
                warn(f"{example.name} is left out: {str(error).removeprefix(f'{example.name}: ')}")
                continue
            rows.append(row)
            marked.append((example, pixels_key(image), pixels_key(foreground)))
            thumbnails.append(thumbnail(overlay(image, foreground.astype(np.uint8))))
        _refuse_contradictions(marked)
        examples = [example for example in examples if example not in left_out]
        return Concept(
            model=self.model_name,
            backbone=self.backbone_name,
            fingerprint=self.fingerprint,
            side=self.side,
            classes=classes,
            class_of=tuple(classes.index(example.class_name) for example in examples),
            names=tuple(Path(example.name).name for example in examples),
            rows=concatenate(rows),
            thumbnails=np.stack(thumbnails),
        ).without_repeats()

    def _learn(
        self, image: Pixels, foreground: Mask, background: Mask, *, absent: bool, finer: bool
    ) -> dict[str, np.ndarray]:
        """The rows of one example, for one look or both."""
        rows = self.head.learn(self.inputs.resize(image), foreground, background, absent=absent)
        if finer and self.head.finer_rows:
            large = self.head.learn(self.finer_inputs.resize(image), foreground, background, absent=absent)
            rows |= {PREFIX + name: large[name] for name in self.head.finer_rows}
        return rows

    def fold(self, concept: Concept) -> Concept:
        """The concept with all but the newest 32 examples of a class in one row: masks stay, and the file stays small.

        Folded examples cannot be removed one by one. HSNet, which compares each example, keeps all.
        """
        return concept.folded(self.head.fold) if isinstance(self.head, FeatureHead) else concept

    @one_blas_thread()
    def prepare(self, concept: Concept) -> Segmenter:
        """A segmenter for the concept: prepare once, then segment any number of images.

        Raises:
            ConceptError: a concept learned with another model, backbone, weights or side, or a damaged one.
        """
        self.check(concept)
        return Segmenter(
            concept,
            self.head,
            self.inputs,
            None if self.quality == "fast" else self.finer_inputs,
            presence=self.presence,
            edges=self.edges,
            batched=self.device != "cpu",
        )

    def segment(self, image: Source, concept: Concept) -> Result:
        """The masks of the concept's classes in one image: short for `prepare(concept)(image)`.

        Raises:
            ImageError: an image that cannot be read.
            ConceptError: see `prepare`.
        """
        return self.prepare(concept)(image)

    def check(self, concept: Concept) -> None:
        """Raise a `ConceptError` unless the concept was learned with this model, backbone, weights and side."""
        concept.check(self.model_name, self.backbone_name, self.fingerprint, self.side)
        self.head.check(concept)
        if self.quality != "fast" and any(PREFIX + name not in concept.rows for name in self.head.finer_rows):
            raise ConceptError(
                f"the concept has nothing for the second look of quality {self.quality}: an older version of likewise "
                "learned it, or part of it; choose quality fast (--quality fast), or learn it again from its examples"
            )
        shown = {own for position, own in enumerate(concept.class_of) if not concept.is_negative(position)}
        if lacking := [name for index, name in enumerate(concept.classes) if index not in shown]:
            raise ConceptError(
                f"class {lacking[0]!r} has only negatives; add an example that shows it"
                + (f" (the examples show {', '.join(concept.classes[index] for index in shown)})" if shown else "")
            )

    @property
    def extractor(self) -> FeatureExtractor:
        """The backbone.

        Raises:
            ModelError: a method that does not compare features with a world.
        """
        if not isinstance(self.head, FeatureHead):
            raise ModelError(f"{self.model_name} does not judge presence; prototypes and PANet do")
        return self.head.extractor

    def encode(self, image: Source) -> Features:
        """The features of one image, from which `Segmenter.answer` finds any concept again.

        Raises:
            ImageError: an image that cannot be read.
            ModelError: see `extractor`.
        """
        return self.extractor.features(self.inputs.resize(read_image(image))[None])

    def features(self, image: Source) -> Float32[np.ndarray, "c h w"]:
        """The features of an image that prototypes are compared with: all taps, at the size of the first.

        Raises:
            ImageError: an image that cannot be read.
            ModelError: see `extractor`.
        """
        return features_of(self.encode(image))[0].features

    def semantic_map(self, image: Source) -> Float32[np.ndarray, "c h w"]:
        """The features of an image that presence is judged by (`likewise.ops.presence`).

        Raises:
            ImageError: an image that cannot be read.
            ModelError: see `extractor`.
        """
        return self.encode(image).semantic[0]


def _refuse_contradictions(marked: Sequence[tuple[Example, Hashable, Hashable]]) -> None:
    """Raise an `ExampleError` for an image, or a region of it, that both shows a class and does not.

    Args:
        marked: each example, with keys of its image's content and of the region that it marks.
    """
    shown = {(one.class_name, *keys) for one, *keys in marked if not one.absent}
    images = {(name, image) for name, image, _ in shown}
    for one, image, region in marked:
        whole = all(getattr(one, name) is None for name in MARKS)
        if one.absent and ((one.class_name, image, region) in shown or (whole and (one.class_name, image) in images)):
            raise ExampleError(
                f"{one.name}: given both as an example of {one.class_name!r} and as not showing it; give it once, or "
                "mark the region that is not the object"
            )
