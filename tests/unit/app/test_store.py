"""The database of a project."""

import threading

import pytest

from likewise.app.store import Step, Store
from likewise.errors import OutputError


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "project.sqlite")
    yield store
    store.close()


def test_a_step_is_undone_and_done_again(store):
    store.change("one", {"a": {"x": 1}, "b": {"x": 2}})
    store.change("two", {"a": {"x": 3}, "b": None})
    assert store.states() == {"a": {"x": 3}}
    assert store.next_steps() == ("two", None)
    assert store.undo() == Step("two", {"a": {"x": 1}, "b": {"x": 2}})
    assert store.states() == {"a": {"x": 1}, "b": {"x": 2}}
    assert store.undo() == Step("one", {"a": None, "b": None})
    assert store.undo() is None
    assert store.states() == {}
    assert store.next_steps() == (None, "one")
    store.redo()
    store.redo()
    assert store.redo() is None
    assert store.states() == {"a": {"x": 3}}


def test_a_new_step_ends_what_can_be_done_again(store):
    store.change("one", {"a": {"x": 1}})
    store.undo()
    store.change("two", {"a": {"x": 2}})
    assert store.redo() is None
    assert store.states() == {"a": {"x": 2}}


def test_all_is_there_after_opening_again(store, tmp_path):
    store.change("one", {"a": {"x": 1}})
    store.add_images([("cat.jpg", "photos/cat.jpg", 10, 20)])
    store.update_images([(1, {"digest": "d", "seen": 1})])
    store.set_setting("key", [1, "two"])
    other = Store(tmp_path / "project.sqlite")
    assert other.states() == {"a": {"x": 1}}
    assert other.images()[0] | {"name": "cat.jpg", "digest": "d", "seen": 1} == other.images()[0]
    assert other.setting("key") == [1, "two"]
    assert other.setting("none", 7) == 7
    assert other.next_steps() == ("one", None)
    other.close()


def test_a_step_that_fails_changes_nothing(store):
    store.change("one", {"a": {"x": 1}})
    with pytest.raises(TypeError):
        store.change("two", {"a": {"x": 2}, "b": {"x": object()}})
    assert store.states() == {"a": {"x": 1}}
    assert store.next_steps() == ("one", None)


def test_several_threads_may_write(store):
    threads = [
        threading.Thread(target=lambda own=own: [store.change(f"{own} {n}", {f"{own}": {"n": n}}) for n in range(20)])
        for own in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.states() == {str(own): {"n": 19} for own in range(4)}


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "project.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(OutputError, match=r"project\.sqlite"):
        Store(tmp_path / "project.sqlite")


def test_a_full_disk_leaves_the_states_as_they_were(store):
    store.change("one", {"a": {"x": 1}})
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(OutputError, match="disk"):
        store.change("two", {"a": {"x": "y" * 100_000}})
    assert store.states() == {"a": {"x": 1}}
    assert store.next_steps() == ("one", None)
