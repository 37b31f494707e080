"""Damaged and hostile concepts: refused as such when they are loaded or checked, or as good as any other."""

from pathlib import Path

import numpy as np
import pytest

from likewise import Concept, Example, FewShot
from likewise.errors import ConceptError
from support.damaged_concepts import damaged_files, read_parts
from support.fake_runs import make_hsnet_run
from support.fuzzing import fuzz

MODELS = ("prototypes-lite0", "panet-lite0", "hsnet")


def learned(few_shot: FewShot, path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    masks = np.zeros((2, 64, 96), bool)
    masks[0, 10:40, 20:60], masks[1, 30:, :30] = True, True
    examples = [Example(pixels, mask=masks[index % 2], class_name="ab"[index % 2]) for index in range(3)]
    few_shot.learn(examples).save(path)
    return path


@pytest.fixture(scope="module", params=MODELS)
def few_shot(request, tmp_path_factory) -> FewShot:
    model = request.param
    if model == "hsnet":
        model = str(make_hsnet_run(tmp_path_factory.mktemp("run")))
    return FewShot(model, side=64, device="cpu")


def test_a_damaged_concept_is_refused_or_segments(few_shot, tmp_path_factory, record_property):
    path = learned(few_shot, tmp_path_factory.mktemp("concepts") / "x.concept")
    query = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            concept = Concept.load(path)
            result = few_shot.segment(query, concept)
        except ConceptError:
            return
        assert np.isfinite(result.probability).all()

    fuzz(check, damaged_files(*read_parts(path)), record_property, share=1 / len(MODELS))


def test_the_reason_names_the_field(tmp_path):
    few_shot = FewShot(side=64)
    path = learned(few_shot, tmp_path / "x.concept")
    concept = Concept.load(path)
    object.__setattr__(concept, "class_of", (0, 1, 7))
    concept.save(path)
    with pytest.raises(ConceptError, match=r"x\.concept.*class_of"):
        Concept.load(path)


def test_rows_of_another_number_of_channels_are_refused_once(tmp_path):
    few_shot = FewShot("panet-lite0", side=64)
    concept = few_shot.learn(Example(np.zeros((32, 32, 3), np.uint8), box=(4, 4, 20, 20)))
    concept.rows["foreground"] = concept.rows["foreground"][:, :7]
    with pytest.raises(ConceptError, match="foreground"):
        few_shot.prepare(concept)
