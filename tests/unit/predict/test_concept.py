"""Concepts: files, merging, and what is refused."""

import io
import json
import math
import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import likewise
from likewise.errors import ConceptError
from likewise.predict.concept import Concept, thumbnail


def some_concept(*class_names: str, **changed) -> Concept:
    classes = tuple(dict.fromkeys(class_names))
    generator = np.random.default_rng(len(class_names))
    concept = Concept(
        model="panet",
        backbone="lite0@blocks.5.3",
        fingerprint="0123456789abcdef",
        side=320,
        classes=classes,
        class_of=tuple(classes.index(name) for name in class_names),
        names=tuple(f"{index}.jpg" for index in range(len(class_names))),
        rows={"foreground": generator.standard_normal((len(class_names), 4), np.float32)},
        thumbnails=np.zeros((len(class_names), 96, 96, 3), np.uint8),
    )
    return replace(concept, **changed)


def test_a_concept_equals_the_one_loaded_from_its_file(tmp_path):
    concept = some_concept("cat", "dog", "cat")
    concept.save(tmp_path / "pets.concept")
    again = Concept.load(tmp_path / "pets.concept")
    assert again == concept
    assert again != some_concept("cat", "dog", "dog")
    assert again != "a concept"
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


def test_concepts_with_other_rows_are_not_merged():
    known = some_concept("cat")
    fuller = replace(known, rows={**known.rows, "spread": np.zeros((1, 4, 4), np.float32)})
    for one, other in ((known, fuller), (fuller, known)):
        with pytest.raises(ConceptError, match="spread"):
            one.merged(other)


def test_merging_adds_examples_to_classes_of_one_name_and_appends_new_classes():
    pets = some_concept("cat", "dog").merged(some_concept("horse", "cat", "cat"))
    assert pets.classes == ("cat", "dog", "horse")
    assert pets.class_of == (0, 1, 2, 0, 0)
    assert len(pets) == 5
    assert pets.of_class(0)["foreground"].shape == (3, 4)
    assert str(pets) == "concept of cat (3), dog (1), horse (1); panet on lite0@blocks.5.3"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "hsnet"}, "hsnet.*panet"),
        ({"backbone": "resnet50"}, "resnet50"),
        ({"fingerprint": "feed"}, "feed"),
        ({"side": 400}, "400"),
    ],
)
def test_concepts_of_different_models_do_not_merge(changed, message):
    with pytest.raises(ConceptError, match=message):
        some_concept("cat").merged(some_concept("dog", **changed))


def test_the_error_for_a_file_that_is_no_concept_names_it(tmp_path):
    with pytest.raises(ConceptError, match=r"none\.concept"):
        Concept.load(tmp_path / "none.concept")
    (tmp_path / "text.concept").write_text("hello")
    with pytest.raises(ConceptError, match=r"text\.concept"):
        Concept.load(tmp_path / "text.concept")
    save_file({"x": np.zeros(1, np.float32)}, tmp_path / "weights.concept")
    with pytest.raises(ConceptError, match=r"weights\.concept"):
        Concept.load(tmp_path / "weights.concept")
    some_concept("cat").save(tmp_path / "cut.concept")
    whole = (tmp_path / "cut.concept").read_bytes()
    (tmp_path / "cut.concept").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConceptError, match=r"cut\.concept"):
        Concept.load(tmp_path / "cut.concept")
    save_file({"x": np.zeros(1, np.float32)}, tmp_path / "later.concept", {"likewise": "concept", "format": "9"})
    with pytest.raises(ConceptError, match=r"later\.concept.*9"):
        Concept.load(tmp_path / "later.concept")
    save_file({"x": np.zeros(1, np.float32)}, tmp_path / "partial.concept", {"likewise": "concept", "format": "1"})
    with pytest.raises(ConceptError, match=r"partial\.concept"):
        Concept.load(tmp_path / "partial.concept")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_concept_with_nan_or_infinity_is_refused(value, tmp_path):
    concept = some_concept("cat")
    name = next(name for name, rows in concept.rows.items() if rows.dtype.kind == "f")
    concept.rows[name].reshape(-1)[-1] = value
    concept.save(tmp_path / "cat.concept")
    with pytest.raises(ConceptError, match=rf"cat\.concept.*rows\.{name}"):
        Concept.load(tmp_path / "cat.concept")


def test_a_thumbnail_keeps_the_aspect_of_the_image():
    tile = thumbnail(np.zeros((50, 100, 3), np.uint8))
    assert tile.shape == (96, 96, 3)
    assert (tile[:20] == 240).all()
    assert (tile[30:60] == 0).all()


def test_a_concept_shows_its_examples_in_rows_of_eight():
    concept = some_concept(*["cat"] * 9)
    assert concept.overlay().shape == (2 * 96, 8 * 96, 3)
    assert Image.open(io.BytesIO(concept._repr_png_())).size == (8 * 96, 2 * 96)
    assert repr(concept) == "<concept of cat (9); panet on lite0@blocks.5.3>"


def test_an_image_is_taken_out_of_one_class():
    concept = replace(some_concept("cat", "dog", "dog"), names=("both.jpg", "both.jpg", "dog.jpg"))
    fewer = concept.without("both.jpg", of="dog")
    assert (fewer.names, fewer.class_of) == (("both.jpg", "dog.jpg"), (0, 1))
    assert concept.without("both.jpg").names == ("dog.jpg",)
    with pytest.raises(ConceptError, match=r"dog\.jpg"):
        concept.without("dog.jpg", of="cat")
    with pytest.raises(ConceptError, match="bird"):
        concept.without("both.jpg", of="bird")


def test_negatives_are_crossed_out_where_a_concept_shows_its_examples():
    concept = some_concept("cat", "cat")
    assert (concept.overlay()[:, :96] == concept.overlay()[:, 96:]).all()
    concept.rows["absent"] = np.array([0, 1], np.float16)
    positive, negative = np.hsplit(concept.overlay(), 2)
    assert (positive == concept.thumbnails[0]).all()
    assert (positive != negative).any()


def test_equal_concepts_are_equal_files(tmp_path):
    concept = some_concept("Sch\u00e4fer", "cat")
    for name in "abcd":
        concept.save(tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in "abcd"}) == 1
    assert Concept.load(tmp_path / "a") == concept
