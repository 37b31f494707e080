"""A concept survives its file, grows without retraining, and refuses what it does not fit."""

import json
import math
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import likewise
from likewise.errors import ConceptError
from likewise.predict.concept import Concept, thumbnail


def some_concept(*class_names: str, **changed) -> Concept:
    classes = tuple(dict.fromkeys(class_names))
    generator = torch.Generator().manual_seed(len(class_names))
    concept = Concept(
        model="panet",
        backbone="lite0@blocks.5.3",
        fingerprint="0123456789abcdef",
        side=320,
        classes=classes,
        class_of=tuple(classes.index(name) for name in class_names),
        names=tuple(f"{index}.jpg" for index in range(len(class_names))),
        rows={"foreground": torch.randn(len(class_names), 4, generator=generator)},
        thumbnails=torch.zeros(len(class_names), 96, 96, 3, dtype=torch.uint8),
    )
    return replace(concept, **changed)


def test_a_concept_comes_back_from_its_file_as_it_was(tmp_path):
    concept = some_concept("cat", "dog", "cat")
    concept.save(tmp_path / "pets.concept")
    again = Concept.load(tmp_path / "pets.concept")
    for name in ("model", "backbone", "fingerprint", "side", "classes", "class_of", "names"):
        assert getattr(again, name) == getattr(concept, name)
    torch.testing.assert_close(again.rows, concept.rows, rtol=0, atol=0)
    torch.testing.assert_close(again.thumbnails, concept.thumbnails)
    assert [path.name for path in tmp_path.iterdir()] == ["pets.concept"]


def test_the_header_is_plain_json_that_says_what_was_learned(tmp_path):
    some_concept("cat", "dog").save(tmp_path / "pets.concept")
    data = (tmp_path / "pets.concept").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])["__metadata__"]
    assert header["model"] == "panet"
    assert json.loads(header["classes"]) == ["cat", "dog"]
    assert header["format"] == "1"
    assert header["version"] == likewise.__version__


def test_examples_of_which_less_is_known_are_not_added():
    known = some_concept("cat")
    fuller = replace(known, rows={**known.rows, "spread": torch.zeros(1, 4, 4)})
    for one, other in ((known, fuller), (fuller, known)):
        with pytest.raises(
            ConceptError, match=r"panet keeps more of each example than an earlier likewise did.* learn that one again"
        ):
            one.merged(other)


def test_merging_adds_examples_to_classes_of_one_name_and_appends_new_classes():
    pets = some_concept("cat", "dog").merged(some_concept("horse", "cat", "cat"))
    assert pets.classes == ("cat", "dog", "horse")
    assert pets.class_of == (0, 1, 2, 0, 0)
    assert len(pets) == 5
    assert pets.of_class(0)["foreground"].shape == (3, 4)
    assert str(pets) == "concept of cat (3), dog (1), horse (1); panet on lite0@blocks.5.3"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model": "hsnet"}, "learned with model hsnet, the other concept|model panet"),
        ({"backbone": "resnet50"}, "backbone resnet50"),
        ({"fingerprint": "feed"}, "weights feed"),
        ({"side": 400}, "input side 400"),
    ],
)
def test_concepts_of_different_models_do_not_merge(changed, told):
    with pytest.raises(ConceptError, match=told):
        some_concept("cat").merged(some_concept("dog", **changed))


def test_files_that_are_no_concept_are_refused_by_name(tmp_path):
    with pytest.raises(ConceptError, match=r"none\.concept: there is no such file"):
        Concept.load(tmp_path / "none.concept")
    (tmp_path / "text.concept").write_text("hello")
    with pytest.raises(ConceptError, match=r"text\.concept: not a concept, or a damaged one"):
        Concept.load(tmp_path / "text.concept")
    save_file({"x": torch.zeros(1)}, tmp_path / "weights.concept")
    with pytest.raises(ConceptError, match="not a concept of likewise"):
        Concept.load(tmp_path / "weights.concept")
    some_concept("cat").save(tmp_path / "cut.concept")
    whole = (tmp_path / "cut.concept").read_bytes()
    (tmp_path / "cut.concept").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConceptError, match="damaged"):
        Concept.load(tmp_path / "cut.concept")
    save_file({"x": torch.zeros(1)}, tmp_path / "later.concept", {"likewise": "concept", "format": "9"})
    with pytest.raises(ConceptError, match="of format 9"):
        Concept.load(tmp_path / "later.concept")
    save_file({"x": torch.zeros(1)}, tmp_path / "partial.concept", {"likewise": "concept", "format": "1"})
    with pytest.raises(ConceptError, match="damaged"):
        Concept.load(tmp_path / "partial.concept")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_concept_of_numbers_that_are_none_is_refused(value, tmp_path):
    concept = some_concept("cat")
    name = next(name for name, rows in concept.rows.items() if rows.is_floating_point())
    concept.rows[name].view(-1)[-1] = value
    concept.save(tmp_path / "cat.concept")
    message = rf"cat\.concept: a damaged concept \('rows\.{name}' holds numbers that are infinite or undefined\)"
    with pytest.raises(ConceptError, match=message):
        Concept.load(tmp_path / "cat.concept")


def test_a_thumbnail_keeps_the_aspect_of_the_image():
    tile = thumbnail(np.zeros((50, 100, 3), np.uint8)).numpy()
    assert tile.shape == (96, 96, 3)
    assert (tile[:20] == 240).all()
    assert (tile[30:60] == 0).all()
