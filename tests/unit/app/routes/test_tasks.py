"""Suggestions, objects, exports, concepts and annotations over HTTP."""

import io
import json
import zipfile

import numpy as np
import pytest
from pycocotools.coco import COCO

from likewise import Concept, FewShot
from support.app_client import pixels, png, serving, wait_for_answers, wait_until, write_photos


@pytest.fixture
def project(tmp_path):
    masks = write_photos(tmp_path / "photos", 4)
    with serving([tmp_path / "photos"]) as client:
        client.post("/api/classes", json={"name": "disc"})
        yield client, wait_for_answers(client), masks


def mark(client, items, masks, count=1):
    """Make the first images examples."""
    for image, mask in list(zip(items, masks, strict=True))[:count]:
        client.put(f"/api/images/{image['id']}/mask", content=png(mask))
    return wait_for_answers(client)


def finish(client, task):
    """Wait for a task, and return its answer."""
    wait_until(lambda: client.get(f"/api/{task}").json()["state"] != "running")
    return client.get(f"/api/{task}").json()


def export(client, **body):
    assert client.post("/api/export", json=body).status_code == 202
    return finish(client, "export")


def test_accepted_masks_are_exported_as_a_zip(project):
    client, items, masks = project
    mark(client, items, masks, 2)
    client.post(f"/api/images/{items[2]['id']}/decision", json={"decision": "absent"})
    done = export(client, formats=["coco", "mask"], which="accepted")
    assert (done["state"], done["images"], done["failed"]) == ("done", 3, [])
    archive = zipfile.ZipFile(io.BytesIO(client.get(done["url"]).content))
    assert sorted(archive.namelist()) == ["coco.json", "photo1.mask.png", "photo2.mask.png", "photo3.mask.png"]
    np.testing.assert_array_equal(pixels(archive.read("photo2.mask.png")) > 0, masks[1])
    assert not pixels(archive.read("photo3.mask.png")).any()
    found = json.loads(archive.read("coco.json"))
    assert [one["name"] for one in found["categories"]] == ["disc"]


def test_all_images_are_exported_to_a_folder_and_again_after_a_change(project, tmp_path):
    client, items, masks = project
    mark(client, items, masks)
    out = tmp_path / "photos/export"
    done = export(client, formats=["coco"], which="all", to="folder", folder="export")
    assert (done["state"], done["images"], done["path"]) == ("done", 4, str(out))
    assert len(COCO(out / "coco.json").getAnnIds()) >= 4
    client.post(f"/api/images/{items[1]['id']}/decision", json={"decision": "absent"})
    assert export(client, formats=["coco"], which="all", to="folder", folder="export")["state"] == "done"
    absent = next(one["id"] for one in COCO(out / "coco.json").dataset["images"] if one["file_name"] == "photo2.png")
    assert COCO(out / "coco.json").getAnnIds(imgIds=[absent]) == []


def test_files_of_others_are_not_overwritten(project, tmp_path):
    client, items, masks = project
    mark(client, items, masks)
    (tmp_path / "photos/mine").mkdir()
    (tmp_path / "photos/mine/photo1.mask.png").write_bytes(b"precious")
    done = export(client, formats=["mask"], which="accepted", to="folder", folder="mine")
    assert done["state"] == "failed"
    assert (tmp_path / "photos/mine/photo1.mask.png").read_bytes() == b"precious"


def test_what_cannot_be_exported_says_why(project):
    client, _, _ = project
    assert client.post("/api/export", json={"formats": ["coco"]}).status_code == 409
    assert client.post("/api/export", json={"formats": ["docx"], "which": "all"}).status_code == 400
    assert client.post("/api/export", json={"formats": [], "which": "all"}).status_code == 422
    assert client.post("/api/export", json={"formats": ["coco"], "to": "folder"}).status_code == 422
    assert client.get("/api/export/file").status_code == 404


def test_a_second_class_keeps_its_number_in_files(project):
    client, items, masks = project
    dot = client.post("/api/classes", json={"name": "dot"}).json()["id"]
    labels = masks[0].astype(np.uint8)
    labels[:4, :4] = dot
    client.put(f"/api/images/{items[0]['id']}/mask", content=png(labels))
    client.request("DELETE", "/api/classes/1")
    done = export(client, formats=["labels"], which="accepted")
    archive = zipfile.ZipFile(io.BytesIO(client.get(done["url"]).content))
    np.testing.assert_array_equal(pixels(archive.read("photo1.labels.png")), labels == dot)
    assert "legend.csv" not in archive.namelist() or b"disc" not in archive.read("legend.csv")


def test_the_concept_segments_other_folders(project, tmp_path):
    client, items, masks = project
    assert client.get("/api/concept").status_code == 409
    items = mark(client, items, masks, 2)
    (tmp_path / "saved.concept").write_bytes(client.get("/api/concept").content)
    concept = Concept.load(tmp_path / "saved.concept")
    assert (concept.classes, len(concept)) == (("disc",), 2)
    shown = pixels(client.get(f"/api/images/{items[3]['id']}/mask").content) > 0
    found = FewShot().segment(tmp_path / "photos/photo4.png", concept).mask
    assert (shown == found).mean() > 0.99  # the cache is in half precision
    assert "likewise segment OTHER/ --like" in client.get("/api/command").json()["segment"]


def test_a_concept_is_opened_as_examples(project, tmp_path):
    client, items, masks = project
    mark(client, items, masks, 2)
    content = client.get("/api/concept").content
    write_photos(tmp_path / "other", 2)
    with serving([tmp_path / "other"]) as other:
        wait_for_answers(other)
        assert other.post("/api/concept", content=b"nonsense").status_code == 400
        assert other.post("/api/concept", content=content).json()["classes"][0]["name"] == "disc"
        assert all(one["presence"] > 0.5 for one in wait_for_answers(other))
        other.post("/api/undo")
        assert all(one["presence"] is None for one in wait_for_answers(other))


def test_annotations_are_opened_as_examples(project, tmp_path):
    client, items, masks = project
    mark(client, items, masks, 2)
    export(client, formats=["coco"], which="accepted", to="folder", folder="coco")
    client.post(f"/api/images/{items[1]['id']}/decision", json={"decision": "reset"})
    opened = client.post("/api/annotations", json={"path": "coco/coco.json"})
    assert opened.json() == {"images": [items[1]["id"]], "unmatched": []}
    found = client.get("/api/images").json()["items"][1]
    assert (found["status"], found["example"]) == ("accepted", True)
    assert (pixels(client.get(f"/api/images/{items[1]['id']}/mask").content) == masks[1]).mean() > 0.999
    assert client.post("/api/annotations", json={"path": "none.json"}).status_code == 400


def test_objects_are_counted_and_measured(project):
    client, items, masks = project
    labels = masks[0].astype(np.uint8)
    labels[:5, -5:] = 1
    client.put(f"/api/images/{items[0]['id']}/mask", content=png(labels))
    wait_for_answers(client)
    found = client.get("/api/objects").json()
    (row,) = found["items"]
    assert (row["name"], row["objects"], row["pixels"]) == ("photo1.png", 2, labels.sum())
    (disc,) = found["classes"]
    assert (disc["images"], disc["objects"]) == (1, 2)
    assert sum(disc["histogram"]["counts"]) == 2
    assert disc["area_mean"] == pytest.approx(labels.mean() / 2)
    assert client.get("/api/objects?accepted=false").json()["total"] == 4
    assert client.get("/api/objects?class_id=7").json()["items"] == []


def test_suggestions_are_accepted_or_rejected(tmp_path):
    write_photos(tmp_path / "photos", 4)
    with serving([tmp_path / "photos"]) as client:
        wait_for_answers(client)
        assert client.get("/api/suggest").json()["state"] == "idle"
        assert client.post("/api/suggest", json={"count": 3}).status_code == 202
        found = finish(client, "suggest")
        assert found["state"] == "done", found["error"]
        first, *others = [one["id"] for one in found["proposals"]]
        assert pixels(client.get(f"/api/suggest/{first}/mask").content).any()
        accepted = client.post(f"/api/suggest/{first}", json={"accept": True}).json()
        assert (accepted["status"], accepted["example"]) == ("accepted", True)
        assert client.get("/api/project").json()["classes"][0]["name"] == "object"
        assert client.post(f"/api/suggest/{others[0]}", json={"accept": False}).json()["status"] == "new"
        assert client.post(f"/api/suggest/{others[0]}", json={"accept": False}).status_code == 404
        assert client.post("/api/suggest", json={"ids": [first]}).status_code == 400
        assert client.post("/api/suggest", json={"ids": [99, 98]}).status_code == 404


def test_training_says_what_it_needs(project):
    client, _, _ = project
    found = client.get("/api/train").json()
    assert found["state"] == "idle"
    assert found["images"] == 0
    assert client.post("/api/train", json={}).status_code == 409
    assert client.post("/api/train/adopt", json={"adopt": True}).status_code == 409
    assert client.get("/api/images/1/mask?of=network").status_code == 409


def test_training_without_torch_names_the_extra(project, monkeypatch):
    client, _, _ = project
    monkeypatch.setattr("likewise.app.training.find_spec", lambda name: None)
    assert not client.get("/api/train").json()["available"]
    answer = client.post("/api/train", json={})
    assert answer.status_code == 400
    assert "likewise[train]" in answer.json()["detail"]
