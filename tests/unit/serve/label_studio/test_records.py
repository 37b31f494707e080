from dataclasses import replace

import pytest

from likewise.errors import OutputError
from likewise.serve.label_studio.errors import PayloadError, UnknownProjectError
from likewise.serve.label_studio.interface import parse_interface
from likewise.serve.label_studio.records import Record, Records, number_of, project_id, record_of

XML = '<View><Image name="i" value="$image"/><BrushLabels name="b" toName="i"><Label value="cat"/></BrushLabels></View>'
RECORD = Record(12, 3, 100.0, "/data/upload/1/x.png", [{"value": {}}], True)
ANNOTATION = {"id": 12, "result": [], "updated_at": "2026-01-02T03:04:05.600000Z", "was_cancelled": False}
TASK = {"id": 3, "data": {"image": "/data/upload/1/x.png"}}


def test_annotations_survive_on_disk(tmp_path):
    records = Records(tmp_path)
    assert records.put([RECORD])
    assert Records(tmp_path).all() == [RECORD]


def test_the_same_annotation_twice_is_one_and_changes_nothing(tmp_path):
    records = Records(tmp_path)
    assert records.put([RECORD])
    assert not records.put([RECORD])
    assert records.all() == [RECORD]


def test_an_older_state_does_not_replace_a_newer_one(tmp_path):
    records = Records(tmp_path)
    newer = replace(RECORD, changed=200.0, results=[])
    records.put([newer])
    assert not records.put([RECORD])
    assert records.all() == [newer]


def test_a_deleted_annotation_stays_deleted_even_if_it_arrives_later(tmp_path):
    records = Records(tmp_path)
    assert records.delete([12])
    assert not records.put([RECORD])
    assert not Records(tmp_path).put([RECORD])
    assert Records(tmp_path).all() == []


def test_skipped_annotations_are_no_examples(tmp_path):
    records = Records(tmp_path)
    records.put([replace(RECORD, counts=False)])
    assert records.all() == []
    assert records.of_tasks([3]) == [12]


def test_a_damaged_file_is_named(tmp_path):
    Records(tmp_path).put([RECORD])
    (tmp_path / "annotations/12.json").write_text('{"id": 12')
    with pytest.raises(OutputError, match=r"12\.json"):
        Records(tmp_path)


def test_parts_of_a_killed_server_are_deleted(tmp_path):
    Records(tmp_path).put([RECORD])
    (tmp_path / "annotations/.likewise-part-nothing.json").write_text("{")
    assert Records(tmp_path).all() == [RECORD]


def test_a_project_that_was_not_connected_has_no_interface(tmp_path):
    records = Records(tmp_path)
    with pytest.raises(UnknownProjectError, match="not connected"):
        _ = records.interface
    records.connect(XML)
    assert records.interface.classes == ("cat",)


def test_an_annotation_is_read_as_label_studio_sends_it():
    record = record_of(ANNOTATION, TASK, parse_interface(XML))
    assert (record.id, record.task, record.image, record.counts) == (12, 3, "/data/upload/1/x.png", True)
    assert record.changed == pytest.approx(1767323045.6)
    assert not record_of(ANNOTATION | {"was_cancelled": True}, TASK, parse_interface(XML)).counts


@pytest.mark.parametrize(
    ("annotation", "task"),
    [
        (None, TASK),
        ({}, TASK),
        (ANNOTATION | {"id": "12"}, TASK),
        (ANNOTATION | {"id": True}, TASK),
        (ANNOTATION | {"id": -1}, TASK),
        (ANNOTATION | {"result": {}}, TASK),
        (ANNOTATION | {"result": [1]}, TASK),
        (ANNOTATION | {"updated_at": "yesterday"}, TASK),
        (ANNOTATION | {"updated_at": None}, TASK),
        (ANNOTATION, None),
        (ANNOTATION, {"id": 3, "data": {}}),
    ],
)
def test_an_annotation_that_is_not_of_the_protocol_is_refused(annotation, task):
    with pytest.raises(PayloadError):
        record_of(annotation, task, parse_interface(XML))


def test_a_project_is_named_by_its_number_and_second():
    assert project_id("7.1700000000") == "7.1700000000"
    assert project_id({"id": 7, "created_at": "2023-11-14T22:13:20.9Z"}) == "7.1700000000"


@pytest.mark.parametrize(
    "value", [None, 7, "7", "../7.1", "7.1/..", "", {"id": 7}, {"id": "7", "created_at": "2023-11-14"}]
)
def test_other_names_of_projects_are_refused(value):
    with pytest.raises(PayloadError):
        project_id(value)


def test_numbers_are_whole():
    assert number_of(3) == 3
    for value in (1.0, "3", None, -3):
        with pytest.raises(PayloadError):
            number_of(value)
