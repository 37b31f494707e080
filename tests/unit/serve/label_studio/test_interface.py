import pytest

from likewise.errors import ArgumentError
from likewise.serve.label_studio.errors import ConfigError, PayloadError
from likewise.serve.label_studio.interface import Control, parse_interface

LABELS = '<Label value="cat"/><Label value="a dog" alias="dog"/>'


def interface(*controls: str, image: str = '<Image name="image" value="$photo"/>') -> str:
    return f"<View>{image}{''.join(controls)}</View>"


def tag(kind: str, name: str = "x", to_name: str = "image", labels: str = LABELS) -> str:
    return f'<{kind} name="{name}" toName="{to_name}">{labels}</{kind}>'


def test_a_brush_comes_before_polygons_before_rectangles():
    found = parse_interface(
        interface(tag("RectangleLabels", "r"), tag("BrushLabels", "b", labels='<Label value="cat"/>'))
    )
    assert found.image == "photo"
    assert found.control("cat") == Control("brush", "b", "image", ("cat",))
    assert found.control("dog") == Control("rectangle", "r", "image", ("cat", "dog"))
    assert found.classes == ("cat", "dog")
    with pytest.raises(ArgumentError, match="bird"):
        found.control("bird")


def test_tags_inside_others_are_found_and_those_of_another_object_are_not():
    nested = interface(f"<View><View>{tag('PolygonLabels')}</View></View>", tag("BrushLabels", to_name="text"))
    assert [control.kind for control in parse_interface(nested).controls] == ["polygon"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "not a text"),
        ("<View>" + " " * (1 << 20) + "</View>", "not a text"),
        ("<View>", "no XML"),
        ("<View/>", "no image"),
        (interface(tag("BrushLabels"), image='<Image name="image" value="fixed.jpg"/>'), "no image"),
        (interface(tag("KeyPointLabels")), "BrushLabels, PolygonLabels or RectangleLabels"),
        (interface(tag("BrushLabels", labels="")), "BrushLabels, PolygonLabels or RectangleLabels"),
        (interface('<Choices name="x" toName="image"><Choice value="cat"/></Choices>'), "RectangleLabels"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + interface(tag("BrushLabels")), "entities"),
    ],
)
def test_an_interface_that_masks_do_not_fit_is_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        parse_interface(text)


def test_a_comment_is_no_declaration():
    assert parse_interface("<!-- <!ENTITY> -->" + interface(tag("BrushLabels"))).classes


@pytest.mark.parametrize("task", [{}, {"data": 1}, {"data": {"image": "x.jpg"}}, {"data": {"photo": 3}}])
def test_a_task_without_its_image_is_refused(task):
    with pytest.raises(PayloadError, match="photo"):
        parse_interface(interface(tag("BrushLabels"))).address(task)
