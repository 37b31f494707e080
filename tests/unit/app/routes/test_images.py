"""Images, masks and decisions over HTTP: the loop of the app."""

import numpy as np
import pytest
from PIL import Image

from support.app_client import pixels, png, serving, wait_for_answers, wait_until, write_photos


@pytest.fixture
def loop(tmp_path):
    masks = write_photos(tmp_path / "photos", 5)
    with serving([tmp_path / "photos"]) as client:
        client.post("/api/classes", json={"name": "disc"})
        yield client, wait_for_answers(client), masks


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_one_example_answers_all_images(loop):
    client, items, masks = loop
    assert [(one["status"], one["presence"], one["classes"]) for one in items] == [("new", None, [])] * 5
    assert not pixels(client.get(f"/api/images/{items[1]['id']}/mask").content).any()
    answer = client.put(f"/api/images/{items[0]['id']}/mask", content=png(masks[0]))
    assert answer.json()["status"] == "edited"
    assert answer.json()["example"]
    items = wait_for_answers(client)
    for image, mask in zip(items[1:], masks[1:], strict=True):
        assert image["presence"] > 0.5
        assert image["area"] == pytest.approx(mask.mean(), abs=0.1)
        found = pixels(client.get(f"/api/images/{image['id']}/mask?rev={image['mask']}").content)
        assert found.shape == (image["height"], image["width"]) == mask.shape
        assert iou(found > 0, mask) > 0.6
        small = pixels(client.get(f"/api/images/{image['id']}/mask?side=80").content)
        assert small.shape == (60, 80)
        assert iou(small > 0, mask[::2, ::2]) > 0.5


def test_an_accepted_mask_never_changes_by_itself(loop):
    client, items, masks = loop
    client.put(f"/api/images/{items[0]['id']}/mask", content=png(masks[0]))
    wait_for_answers(client)
    shown = client.get(f"/api/images/{items[1]['id']}/mask").content
    accepted = client.post(f"/api/images/{items[1]['id']}/decision", json={"decision": "accept"}).json()
    assert (accepted["status"], accepted["example"]) == ("accepted", False)
    client.put(f"/api/images/{items[2]['id']}/mask", content=png(~masks[2]))
    wait_for_answers(client)
    np.testing.assert_array_equal(pixels(client.get(f"/api/images/{items[1]['id']}/mask").content), pixels(shown))
    reset = client.post(f"/api/images/{items[1]['id']}/decision", json={"decision": "reset"}).json()
    assert reset["status"] == "new"


def test_an_absent_image_becomes_a_negative(loop):
    client, items, masks = loop
    client.put(f"/api/images/{items[0]['id']}/mask", content=png(masks[0]))
    absent = client.post(f"/api/images/{items[1]['id']}/decision", json={"decision": "absent"}).json()
    assert (absent["status"], absent["example"], absent["presence"]) == ("absent", True, 0)
    wait_for_answers(client)
    concept = client.workspace.open.answers.current.segmenter.concept
    assert [concept.is_negative(at) for at in range(len(concept))] == [False, True]
    client.delete(f"/api/images/{items[1]['id']}/example")
    wait_for_answers(client)
    assert len(client.workspace.open.answers.current.segmenter.concept) == 1


def test_undo_takes_an_example_out_of_the_concept(loop):
    client, items, masks = loop
    client.put(f"/api/images/{items[0]['id']}/mask", content=png(masks[0]))
    assert wait_for_answers(client)[1]["presence"] is not None
    assert client.post("/api/undo").json()["images"] == [items[0]["id"]]
    assert wait_for_answers(client)[1]["presence"] is None
    client.post("/api/redo")
    assert wait_for_answers(client)[1]["presence"] is not None
    assert client.post("/api/redo").status_code == 409


def test_what_changed_is_measured(loop):
    client, items, masks = loop
    client.put(f"/api/images/{items[0]['id']}/mask", content=png(masks[0]))
    assert wait_for_answers(client)[1]["changed"] is None
    client.put(f"/api/images/{items[1]['id']}/mask", content=png(~masks[1]))
    changed = wait_for_answers(client)[2]["changed"]
    assert 0 < changed <= 1
    shown = client.get("/api/images?sort=changed&descending=true&filter=changed").json()
    assert shown["total"] >= 1
    assert shown["items"][0]["changed"] == max(one["changed"] for one in shown["items"])


def test_a_mask_as_a_canvas_writes_it_is_taken(loop):
    client, items, masks = loop
    rgba = np.full((*masks[0].shape, 4), 255, np.uint8)
    rgba[..., :3] = masks[0][..., None]
    assert client.put(f"/api/images/{items[0]['id']}/mask", content=png(rgba)).status_code == 200
    np.testing.assert_array_equal(pixels(client.get(f"/api/images/{items[0]['id']}/mask").content) == 1, masks[0])


@pytest.mark.parametrize("content", [b"", b"nonsense", png(np.zeros((4, 4))), png(np.zeros((120, 160)))[:60]])
def test_a_mask_that_does_not_fit_is_refused(loop, content):
    client, items, _ = loop
    answer = client.put(f"/api/images/{items[0]['id']}/mask", content=content)
    assert answer.status_code == 400
    assert "mask" in answer.json()["detail"]


def test_two_pages_do_not_overwrite_each_other(loop):
    client, items, masks = loop
    url = f"/api/images/{items[0]['id']}/mask"
    first = client.put(url, params={"base": items[0]["mask"]}, content=png(masks[0])).json()
    assert client.put(url, params={"base": items[0]["mask"]}, content=png(~masks[0])).status_code == 409
    assert client.put(url, params={"base": first["mask"]}, content=png(~masks[0])).status_code == 200


def test_a_class_that_is_added_while_a_mask_is_corrected_replaces_no_mask(loop):
    client, items, masks = loop
    url = f"/api/images/{items[0]['id']}/mask"
    first = client.put(url, content=png(masks[0])).json()
    client.post("/api/classes", json={"name": "other"})
    assert client.get(f"/api/images/{first['id']}").json()["mask"] != first["mask"]
    assert client.put(url, params={"base": first["mask"]}, content=png(2 * ~masks[0])).status_code == 200
    assert client.put(url, params={"base": first["mask"]}, content=png(masks[0])).status_code == 409


def seen(client, image, **query):
    """Load the mask of an image as a page does, and return its version."""
    client.get(f"/api/images/{image['id']}/mask", params={"rev": image["mask"], **query})
    return image["mask"]


def accept(client, image, **more):
    return client.post(f"/api/images/{image['id']}/decision", json={"decision": "accept", **more})


@pytest.mark.parametrize("query", [{}, {"side": 80}])
def test_a_mask_that_was_replaced_since_it_was_seen_is_not_accepted(loop, query):
    client, items, masks = loop
    client.put(f"/api/images/{items[0]['id']}/mask", content=png(masks[0]))
    base = seen(client, wait_for_answers(client)[1], **query)
    client.put(f"/api/images/{items[2]['id']}/mask", content=png(~masks[2]))
    now = wait_for_answers(client)[1]
    before = client.get("/api/project").json()["revision"]
    answer = accept(client, now, base=base)
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("photo2.png: its mask has changed since it was shown; look at the new")
    assert client.get("/api/project").json()["revision"] == before
    assert client.get(f"/api/images/{now['id']}").json()["status"] == "new"
    shown = client.get(f"/api/images/{now['id']}/mask", params={"rev": now["mask"]}).content
    assert accept(client, now, base=now["mask"]).json()["status"] == "accepted"
    np.testing.assert_array_equal(pixels(client.get(f"/api/images/{now['id']}/mask").content), pixels(shown))


@pytest.mark.parametrize("query", [{}, {"side": 80}])
@pytest.mark.parametrize("change", ["class", "setting"])
def test_an_equal_mask_of_a_later_pass_is_accepted(loop, query, change):
    client, items, masks = loop
    client.put(f"/api/images/{items[0]['id']}/mask", content=png(masks[0]))
    image = wait_for_answers(client)[1]
    base = seen(client, image, **query)
    if change == "class":
        client.post("/api/classes", json={"name": "other"})
    else:
        client.patch("/api/project", json={"settings": {"presence": image["presence"] / 2}})
    now = wait_for_answers(client)[1]
    assert now["mask"] != base
    assert accept(client, now, base=base).json()["status"] == "accepted"


def test_a_mask_that_was_not_there_yet_counts_as_empty(loop):
    client, items, masks = loop
    client.put(f"/api/images/{items[0]['id']}/mask", content=png(masks[0]))
    wait_for_answers(client)
    assert accept(client, items[1], base=items[1]["mask"]).status_code == 409
    client.patch("/api/project", json={"settings": {"presence": 1.0}})
    wait_for_answers(client)
    assert accept(client, items[1], base=items[1]["mask"]).json()["status"] == "accepted"


def test_a_mask_of_an_earlier_session_was_not_seen(loop):
    client, items, _ = loop
    version, _, number = items[1]["mask"].rsplit("-", 2)
    assert accept(client, items[1], base=f"{version}-abcdef-{number}").status_code == 409


def test_a_decided_image_is_accepted_whatever_was_seen(loop):
    client, items, masks = loop
    client.put(f"/api/images/{items[1]['id']}/mask", content=png(masks[1]))
    assert accept(client, items[1], base=items[1]["mask"]).json()["status"] == "accepted"


def test_a_decision_of_another_page_is_not_replaced_while_a_mask_is_accepted(loop, monkeypatch):
    client, items, _ = loop
    opened = client.workspace.open
    compute = opened.answers.seen_labels

    def decide_meanwhile(id, version):
        opened.project.mark_absent(id, example=False)
        return compute(id, version)

    monkeypatch.setattr(opened.answers, "seen_labels", decide_meanwhile)
    assert accept(client, items[1], base=items[1]["mask"]).status_code == 409
    assert client.get(f"/api/images/{items[1]['id']}").json()["status"] == "absent"


def test_what_was_loaded_of_a_mask_is_known_at_its_largest_size(loop):
    client, items, masks = loop
    client.put(f"/api/images/{items[0]['id']}/mask", content=png(masks[0]))
    image = wait_for_answers(client)[1]
    loaded = client.workspace.open.answers._loaded
    for query, side in [({"side": 40}, 40), ({"side": 80}, 80), ({"side": 40}, 80), ({}, None), ({"side": 80}, None)]:
        seen(client, image, **query)
        assert loaded[image["id"], image["mask"]][0] == side
    seen(client, {**image, "mask": "late"}, side=40)
    seen(client, {**image, "mask": "late"})
    assert loaded[image["id"], "late"][0] == 40


def test_marks_select_an_object(loop):
    client, items, masks = loop
    rows, columns = np.nonzero(masks[0])
    point = [float(columns.mean()), float(rows.mean()), 1]
    url = f"/api/images/{items[0]['id']}/select"
    found = pixels(client.post(url, json={"points": [point]}).content)
    assert iou(found > 0, masks[0]) > 0.7
    again = client.post(url, json={"points": [point, [150.0, 110.0, 0]], "previous": True})
    assert iou(pixels(again.content) > 0, masks[0]) > 0.7
    strokes = [{"points": [point[:2]], "width": 10, "inside": True}]
    assert iou(pixels(client.post(url, json={"strokes": strokes}).content) > 0, masks[0]) > 0.7
    square = pixels(client.post(url, json={"polygon": [[10, 10], [29, 10], [29, 19], [10, 19]]}).content)
    assert (square > 0).sum() == 200


@pytest.mark.parametrize(
    "marks",
    [{}, {"points": [[1, 1, 2]]}, {"points": [["a", 1, 1]]}, {"box": [1, 2, 3]}, {"polygon": [[1, 1]]}, {"other": 1}],
)
def test_wrong_marks_are_refused(loop, marks):
    client, items, _ = loop
    assert client.post(f"/api/images/{items[0]['id']}/select", json=marks).status_code == 422


def test_a_point_outside_the_image_is_refused(loop):
    client, items, _ = loop
    answer = client.post(f"/api/images/{items[0]['id']}/select", json={"points": [[900, 5, 1]]})
    assert answer.status_code == 400


def test_images_are_shown_upright_and_bounded(loop, tmp_path):
    client, _, _ = loop
    image = Image.new("RGB", (400, 200), "red")
    exif = Image.Exif()
    exif[274] = 6
    image.save(tmp_path / "photos/turned.jpg", exif=exif)
    client.post("/api/rescan")
    turned = wait_for_answers(client)[-1]
    assert (turned["name"], turned["width"], turned["height"]) == ("turned.jpg", 200, 400)
    assert pixels(client.get(f"/api/images/{turned['id']}/thumbnail").content).shape == (256, 128, 3)
    assert pixels(client.get(f"/api/images/{turned['id']}/pixels?side=100").content).shape == (100, 50, 3)
    assert pixels(client.get(f"/api/images/{turned['id']}/pixels").content).shape == (400, 200, 3)


def test_answers_with_a_revision_are_kept_by_the_browser(loop):
    client, items, _ = loop
    for part, rev in (("thumbnail", "pixels"), ("pixels", "pixels"), ("mask", "mask")):
        url = f"/api/images/{items[0]['id']}/{part}"
        assert "immutable" in client.get(url, params={"rev": items[0][rev]}).headers["cache-control"]
        assert client.get(url, params={"rev": "old"}).headers["cache-control"] == "no-store"


def test_images_are_filtered_and_sorted(loop):
    client, items, masks = loop
    client.put(f"/api/images/{items[0]['id']}/mask", content=png(masks[0]))
    client.post(f"/api/images/{items[1]['id']}/decision", json={"decision": "absent", "as_example": False})
    client.get(f"/api/images/{items[2]['id']}")
    wait_for_answers(client)

    def shown(**query):
        return [one["id"] for one in client.get("/api/images", params=query).json()["items"]]

    ids = [one["id"] for one in items]
    assert shown(filter="edited") == shown(filter="examples") == ids[:1]
    assert shown(filter="absent") == ids[1:2]
    assert shown(filter="new") == ids[2:]
    assert shown(filter="unseen") == ids[3:]
    assert shown(filter="present", class_id=1) == [ids[0], *ids[2:]]
    assert shown(search="PHOTO3") == ids[2:3]
    assert shown(descending=True) == ids[::-1]
    assert shown(offset=1, limit=2) == ids[1:3]
    for sort in ("presence", "quality", "unlikely", "changed", "unseen", "review"):
        assert sorted(shown(sort=sort)) == ids
    assert shown(sort="unseen")[:2] == ids[3:]
    assert set(shown(sort="review")[:3]) == set(ids[2:])


def test_an_unknown_image_or_class_is_not_found(loop):
    client, items, _ = loop
    assert client.get("/api/images/99").status_code == 404
    assert client.patch("/api/classes/99", json={"name": "x"}).status_code == 404
    assert client.post(f"/api/images/{items[0]['id']}/example").status_code == 409
    assert client.get("/api/images?sort=colour").status_code == 422


def test_a_damaged_image_is_listed_with_its_reason(loop, tmp_path):
    client, _, _ = loop
    (tmp_path / "photos/damaged.png").write_bytes(b"nonsense")
    client.post("/api/rescan")
    wait_until(lambda: client.get("/api/images?filter=unreadable").json()["total"])
    (damaged,) = client.get("/api/images?filter=unreadable").json()["items"]
    assert "damaged.png" in damaged["error"]
    for part in ("thumbnail", "pixels", "mask"):
        assert client.get(f"/api/images/{damaged['id']}/{part}").status_code == 400
