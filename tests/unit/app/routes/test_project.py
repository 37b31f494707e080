"""Project, folders, files and classes over HTTP."""

import io
import json

import pytest
from PIL import Image

from likewise.app.events import Events
from support.app_client import serving, wait_for_answers, write_photos


@pytest.fixture
def client(tmp_path):
    write_photos(tmp_path / "photos", 2)
    with serving([tmp_path / "photos"]) as client:
        wait_for_answers(client)
        yield client


def test_a_project_is_described(client, tmp_path):
    found = client.get("/api/project").json()
    assert found["name"] == "photos"
    assert found["root"] == str(tmp_path / "photos")
    assert found["counts"]["all"] == found["counts"]["new"] == 2
    assert found["settings"] == {"presence": 0.3, "edges": True}
    assert "coco" in found["capabilities"]["formats"]
    assert (found["undo"], found["redo"]) == (None, None)


def test_classes_are_added_changed_and_deleted(client):
    added = client.post("/api/classes", json={"name": "cat", "colour": "#aabbcc"})
    assert added.status_code == 201
    assert added.json() == {"id": 1, "name": "cat", "colour": "#aabbcc", "key": 1, "examples": 0, "images": 0}
    assert client.post("/api/classes", json={"name": "cat"}).status_code == 409
    assert client.patch("/api/classes/1", json={"name": "kitten", "key": 5}).json()["key"] == 5
    assert client.get("/api/project").json()["undo"] == "change class"
    assert client.delete("/api/classes/1").status_code == 204
    assert client.get("/api/project").json()["classes"] == []
    client.post("/api/undo")
    assert client.get("/api/project").json()["classes"][0]["name"] == "kitten"


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "a/b"}, {"name": "a\nb"}, {"name": "x" * 101}, {"name": "x", "colour": "red"}]
)
def test_wrong_names_and_colours_are_refused(client, body):
    assert client.post("/api/classes", json=body).status_code == 422


def test_settings_are_changed(client):
    assert client.patch("/api/project", json={"settings": {"presence": 0.2}}).json()["settings"]["presence"] == 0.2
    assert client.patch("/api/project", json={"settings": {"presence": 2}}).status_code == 422
    assert client.patch("/api/project", json={"settings": {"colour": 2}}).status_code == 422


def test_a_dropped_image_joins_the_project(client):
    buffer = io.BytesIO()
    Image.new("RGB", (50, 40), "green").save(buffer, format="jpeg")
    added = client.post("/api/files?name=green.jpg", content=buffer.getvalue())
    assert added.status_code == 201
    assert added.json()["name"] == "dropped/green.jpg"
    assert wait_for_answers(client)[0]["name"] == "dropped/green.jpg"


def test_a_folder_is_chosen_under_the_roots(tmp_path):
    write_photos(tmp_path / "home/a", 1)
    write_photos(tmp_path / "home/b/c", 3)
    with serving([tmp_path / "home"], open_first=False) as client:
        assert client.get("/api/project").json()["root"] is None
        assert client.get("/api/images").status_code == 409
        roots = client.get("/api/folders").json()
        assert [one["name"] for one in roots["folders"]] == ["home"]
        inner = client.get("/api/folders", params={"path": str(tmp_path / "home/b")}).json()
        assert inner["parent"] == str(tmp_path / "home")
        assert inner["folders"] == [{"name": "c", "path": str(tmp_path / "home/b/c"), "images": 3}]
        assert client.post("/api/project", json={"folder": str(tmp_path / "home/b")}).json()["name"] == "b"
        assert len(wait_for_answers(client)) == 3
        assert client.post("/api/project", json={"folder": str(tmp_path / "home/a")}).json()["name"] == "a"
        assert len(wait_for_answers(client)) == 1


def test_events_reach_every_listener():
    import asyncio

    async def run() -> list[str]:
        events = Events()
        one, other = events.listen(), events.listen()
        await anext(one), await anext(other)
        await asyncio.to_thread(events.send, "revision", revision=7)
        heard = [await anext(one), await anext(other)]
        events.close()
        assert [text async for text in one] == []
        await other.aclose()
        return heard

    heard = asyncio.run(run())
    assert heard[0] == heard[1]
    event, data = heard[0].splitlines()[:2]
    assert event == "event: revision"
    assert json.loads(data.removeprefix("data: ")) == {"revision": 7}


def test_a_listener_that_does_not_read_is_ended():
    import asyncio

    async def run() -> int:
        events = Events()
        slow = events.listen()
        await anext(slow)
        for number in range(2000):
            events.send("progress", done=number)
        await asyncio.sleep(0.1)
        return len([text async for text in slow])

    assert asyncio.run(run()) < 1001


def test_the_schema_names_every_route(client):
    paths = client.get("/api/openapi.json").json()["paths"]
    assert {"/api/project", "/api/images", "/api/images/{id}/mask", "/api/suggest", "/api/export"} <= set(paths)
