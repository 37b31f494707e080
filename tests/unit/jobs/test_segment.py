"""`segment_folder`, as a Python user calls it."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from likewise import Example, FewShot, segment_folder
from likewise.errors import ArgumentError, ConceptError, ExampleError, ImageError, OutputError
from likewise.io.paths import find_images
from support.fakes import noise


def masks(out: str) -> list[str]:
    return sorted(path.name for path in Path(out).glob("*.mask.png"))


def test_examples_are_texts_examples_or_concepts(few_shot: FewShot, cats: Path) -> None:
    example = Example(cats / "0.png", mask=cats / "0.mask.png")
    concept = few_shot.learn(example)
    concept.save("cat.concept")
    forms = (str(cats / "0.png"), cats / "0.png", example, concept, "cat.concept", [example], [concept, example])
    for number, like in enumerate(forms):
        report = segment_folder(cats, like, f"out{number}", few_shot=few_shot)
        assert (report.done, report.failed) == (2, [])
        assert masks(f"out{number}") == ["0.mask.png", "1.mask.png"]
    assert segment_folder(cats, concept, "out0", few_shot=few_shot).skipped == 2, "the same concept, however given"


def test_images_are_a_folder_a_file_or_found_before(few_shot: FewShot, cats: Path) -> None:
    concept = few_shot.learn(Example(cats / "0.png", mask=cats / "0.mask.png"))
    forms = (str(cats / "1.png"), cats / "1.png", [cats / "1.png"], find_images([cats / "1.png"]))
    for number, images in enumerate(forms):
        segment_folder(images, concept, f"out{number}", few_shot=few_shot)
        assert masks(f"out{number}") == ["1.mask.png"]


def test_missing_examples_images_and_other_models_are_refused(few_shot: FewShot, cats: Path) -> None:
    with pytest.raises((ExampleError, ImageError), match=r"1\.mask\.png"):
        segment_folder(cats, cats / "1.png", "out", few_shot=few_shot)
    with pytest.raises((ExampleError, ImageError)):
        segment_folder(cats, [], "out", few_shot=few_shot)
    with pytest.raises(ImageError, match="nowhere"):
        segment_folder("nowhere", cats / "0.png", "out", few_shot=few_shot)
    other = FewShot("panet-lite0", side=128, device="cpu").learn(Example(cats / "0.png", mask=cats / "0.mask.png"))
    with pytest.raises(ConceptError, match="128"):
        segment_folder(cats, other, "out", few_shot=few_shot)
    assert not Path("out").exists()


def test_masks_made_of_boxes_and_points_are_drawn_beside_the_results(few_shot: FewShot, cats: Path) -> None:
    segment_folder(cats, cats / "0.png", "drawn", few_shot=few_shot)
    assert not Path("drawn/examples.jpg").exists(), "the user's own masks are not drawn"
    segment_folder(cats, cats / "1.png", "boxed", few_shot=few_shot, boxes=["5,5,40,40"])
    segment_folder(cats, cats / "1.png", "clicked", few_shot=few_shot, points=["30,30,+", "2,2,-"])
    assert Path("boxed/examples.jpg").is_file()
    assert Path("clicked/examples.jpg").is_file()
    Path("foreign").mkdir()
    Path("foreign/examples.jpg").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"examples\.jpg"):
        segment_folder(cats, cats / "1.png", "foreign", few_shot=few_shot, boxes=["5,5,40,40"])


def test_runs_with_and_without_instances_are_not_mixed(few_shot: FewShot, cats: Path) -> None:
    segment_folder(cats, cats / "0.png", "out", few_shot=few_shot, formats=("table",), instances=True)
    assert Path("out/counts.csv").read_text().startswith("image,object\n0.png,")
    with pytest.raises(OutputError, match="instances"):
        segment_folder(cats, cats / "0.png", "out", few_shot=few_shot, formats=("table",))


def test_presence_is_fitted_to_the_folder_and_again_when_it_has_grown(few_shot: FewShot, cats: Path) -> None:
    more = cats.parent / "more"
    more.mkdir()
    for number in range(8):
        shutil.copy(cats / f"{number % 2}.png", more / f"{number}.png")
    concept = few_shot.learn(Example(cats / "0.png", mask=cats / "0.mask.png"))
    first = segment_folder(more, concept, "out", few_shot=few_shot, fit_presence=True)
    expected = few_shot.prepare(concept).fit_presence(sorted(more.glob("*.png"))).presence
    assert tuple(first.fitted.values()) == expected
    assert first.done == 8
    assert segment_folder(more, concept, "out", few_shot=few_shot, fit_presence=True).skipped == 8
    for number in range(20):
        Image.fromarray(noise(100 + number)).save(more / f"noise{number}.png")
    second = segment_folder(more, concept, "out", few_shot=few_shot, fit_presence=True)
    assert second.fitted != first.fitted
    assert (second.again, second.done) == (True, 28)


def test_a_folder_of_few_images_is_not_said_to_be_fitted(few_shot: FewShot, cats: Path) -> None:
    with pytest.warns(UserWarning, match="stays"):
        report = segment_folder(cats, cats / "0.png", "out", few_shot=few_shot, fit_presence=True)
    assert report.fitted == {}


def test_presence_is_not_fitted_to_standard_input(few_shot: FewShot, cats: Path) -> None:
    with pytest.raises(ArgumentError):
        segment_folder("-", cats / "0.png", "-", few_shot=few_shot, fit_presence=True)


def test_an_image_of_the_folder_given_as_negative_is_segmented_again_once(few_shot: FewShot, cats: Path) -> None:
    concept = few_shot.learn(Example(cats / "0.png", mask=cats / "0.mask.png"))
    segment_folder(cats, concept, "out", few_shot=few_shot)
    reports = [segment_folder(cats, concept, "out", few_shot=few_shot, unlike=[cats / "1.png"]) for _ in range(2)]
    assert [(report.done, report.skipped, report.kept) for report in reports] == [(2, 0, []), (0, 2, [])]


def test_a_mask_among_the_results_is_no_negative(few_shot: FewShot, cats: Path) -> None:
    concept = few_shot.learn(Example(cats / "0.png", mask=cats / "0.mask.png"))
    segment_folder(cats, concept, "out", few_shot=few_shot)
    before = Path("out/1.mask.png").read_bytes()
    with pytest.raises(ExampleError, match=r"1\.mask\.png"):
        segment_folder(cats, concept, "out", few_shot=few_shot, unlike=[f"{cats / '1.png'}={Path('out/1.mask.png')}"])
    assert Path("out/1.mask.png").read_bytes() == before


def test_label_images_have_a_legend_also_for_one_class(few_shot: FewShot, cats: Path) -> None:
    both = [Example(cats / "0.png", mask=cats / "0.mask.png", class_name=name) for name in ("cat", "dog")]
    segment_folder(cats, both, "out", few_shot=few_shot, formats=["labels"])
    segment_folder(cats, both[1], "out", few_shot=few_shot, formats=["labels"], force=True)
    rows = Path("out/legend.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["class", "background", "dog"]
