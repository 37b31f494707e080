"""`learn_concept`, as a Python user calls it."""

from pathlib import Path

import pytest

from likewise import Example, FewShot, learn_concept
from likewise.errors import ExampleError


def test_concepts_and_examples_merge(few_shot: FewShot, cats: Path) -> None:
    first = few_shot.learn(Example(cats / "0.png", mask=cats / "0.mask.png"))
    merged = learn_concept(few_shot, [first, Example(cats / "1.png", box=(5, 5, 40, 40))])
    assert merged.names == ("0.png", "1.png")


def test_an_example_given_twice_counts_once(few_shot: FewShot, cats: Path) -> None:
    example = Example(cats / "0.png", mask=cats / "0.mask.png")
    assert len(learn_concept(few_shot, [few_shot.learn(example), example])) == 1


def test_new_classes_keep_the_numbers_of_old_ones(few_shot: FewShot, cats: Path) -> None:
    old = few_shot.learn(Example(cats / "0.png", mask=cats / "0.mask.png", class_name="zebra"))
    new = Example(cats / "1.png", box=(5, 5, 40, 40), class_name="ant")
    assert learn_concept(few_shot, [new, old]).classes == ("zebra", "ant")


def test_examples_are_added_to_a_class_by_name(few_shot: FewShot, cats: Path) -> None:
    old = few_shot.learn(Example(cats / "0.png", mask=cats / "0.mask.png", class_name="cat"))
    merged = learn_concept(few_shot, [old, Example(cats / "1.png", box=(5, 5, 40, 40))], class_name="cat")
    assert merged.classes == ("cat",)
    assert len(merged) == 2


def test_images_without_the_object_are_negatives_of_every_class(few_shot: FewShot, cats: Path) -> None:
    shown = [Example(cats / "0.png", mask=cats / "0.mask.png", class_name=name) for name in ("a", "b")]
    merged = learn_concept(few_shot, shown, unlike=[cats / "1.png"])
    assert str(merged).startswith("concept of a (1, 1 negative), b (1, 1 negative)")
    assert merged.names.count("1.png") == 2


@pytest.mark.parametrize("empty", ["", " "])
def test_empty_texts_are_refused(few_shot: FewShot, cats: Path, empty: str) -> None:
    with pytest.raises(ExampleError):
        learn_concept(few_shot, [empty])
    with pytest.raises(ExampleError):
        learn_concept(few_shot, cats / "0.png", unlike=[empty])


def test_classes_that_differ_in_case_only_are_named_in_a_warning(few_shot: FewShot, cats: Path) -> None:
    cat = few_shot.learn(Example(cats / "0.png", mask=cats / "0.mask.png", class_name="cat"))
    with pytest.warns(UserWarning, match="'cat' and 'Cat'"):
        learn_concept(few_shot, [cat, cats / "0.png"], class_name="Cat")


def test_classes_of_a_concept_are_not_chosen(few_shot: FewShot, cats: Path) -> None:
    few_shot.learn(Example(cats / "0.png", mask=cats / "0.mask.png", class_name="cat")).save("cat.concept")
    with pytest.raises(ExampleError, match="concept remove"):
        learn_concept(few_shot, "cat.concept", classes=["cat"])
