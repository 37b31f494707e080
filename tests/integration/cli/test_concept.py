"""`likewise concept`: what saved concepts hold, and changes of them."""

from pathlib import Path

from PIL import Image

from likewise import Concept


def test_a_concept_is_shown_and_changed(likewise, discs):
    for name in ("red", "blue"):
        Path("pets", name).mkdir(parents=True)
        for file in ("disc0.jpg", "disc0.mask.png"):
            Path("pets", name, file).write_bytes((discs / file).read_bytes())
    likewise("learn", "pets", "-o", "pets.concept")
    code, out, err = likewise("concept", "show", "pets.concept", "-o", "examples.png")
    assert (code, err) == (0, "")
    assert "disc0.jpg" in out
    assert Image.open("examples.png").size == (2 * 96, 96)
    assert "concept of blue (1), rot (1)" in likewise("concept", "rename", "pets.concept", "red", "rot")[1]
    assert "concept of rot (1)" in likewise("concept", "remove", "pets.concept", "blue", "-o", "rot.concept")[1]
    assert Concept.load("pets.concept").classes == ("blue", "rot")
    assert Concept.load("rot.concept").classes == ("rot",)
    assert "'ret'" in likewise("concept", "rename", "pets.concept", "ret", "x")[2]
    assert "'grey'" in likewise("concept", "remove", "pets.concept", "grey")[2]
    assert likewise("concept", "remove", "rot.concept", "rot")[0] == 2
    assert likewise("concept", "remove", "pets.concept", "disc0.jpg", "--class", "grey")[0] == 2
