"""Recipes, settings and records with values that make no sense: an error of ours, or a valid meaning."""

import copy
import functools
import json
from contextlib import suppress

import pytest
import yaml

from likewise.errors import OutputError, RecipeError
from likewise.io.settings import read_settings, refuse_changes
from likewise.jobs.pipeline import process_images
from likewise.jobs.records import Records
from likewise.train.recipes.load import key_paths, load_recipe, recipe_names

VALUES = (
    *("", "-1", "0", "1e400", ".inf", "-.inf", ".nan", "1" + "0" * 30, "[", "{a: 1}", "[1, [2]]", "null", "true"),
    *("\x1b[2J", "x" * 10_000, "2001-01-01", "!!python/name:os.system", "!!binary aGk=", "&a [*a]", "'\\0'", ".."),
)


@pytest.mark.parametrize("name", recipe_names())
def test_each_key_with_each_value_is_refused_or_valid(name, record_property, monkeypatch):
    parse = functools.cache(yaml.safe_load)  # the recipe's text and the values are the same each time
    monkeypatch.setattr(yaml, "safe_load", lambda text: copy.deepcopy(parse(text)))
    wrong, tried = [], 0
    for key in key_paths():
        for value in VALUES:
            tried += 1
            try:
                recipe = load_recipe(name, [f"{key}={value}"])
                assert "inf" not in recipe.model_dump_json().lower().replace('"inf', "")
            except RecipeError as error:
                if len(str(error)) > 20_000:
                    wrong.append(f"{key}={value[:20]}: a message of {len(str(error))} letters")
            except Exception as error:
                wrong.append(f"{key}={value[:20]}: {error!r}"[:200])
        if name != recipe_names()[0]:
            break  # the keys are the same for all recipes
    record_property("tried", tried)
    record_property("wrong", len(wrong))
    assert not wrong, f"{len(wrong)} of {tried}: {wrong[:3]}"


JSON = (
    *(b"", b"{", b"[]", b"1", b"null", b'"x"', b"\xff", b"[" * 20_000, b'{"a":' * 3000 + b"1" + b"}" * 3000),
    *(b'{"concept": {}}', b'{"classes": {"a": 1}}', b'{"model": [1]}', b'{"": {"": {"": 1}}}', b'{"concept": NaN}'),
    *(b'{"\\u001b[2J": "\\u001b"}', b'{"concept": 1e999}', b"\xef\xbb\xbf{}", b"{}" * 2, bytes(100)),
)


@pytest.mark.parametrize("content", JSON, ids=range(len(JSON)))
def test_settings_of_another_shape_are_refused_by_their_path_or_differ(content, tmp_path):
    path = tmp_path / ".likewise" / "settings.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"settings\.json|other settings"):
        refuse_changes(tmp_path, read_settings(path, advice=""), {"concept": "1", "classes": ["a"]}, advice="")


LINE = {"size": 1, "mtime_ns": 2, "name": "a.jpg", "height": 4, "width": 5, "outputs": {}, "presences": [0.5],
        "regions": [{"category": 1, "counts": "d0", "score": 0.5}]}  # fmt: skip
ODD = (
    *(None, True, -1, 0, 1.5, 10**30, "", "x", "\x1b[2J", [], [1], {}, {"a": 1}, [[]], "9" * 5000),
    *([{"category": 1}], "\udcff"),
)


def test_records_with_odd_values_do_not_end_a_run(tmp_path, record_property):
    folder = tmp_path / ".likewise"
    folder.mkdir()
    (folder / "settings.json").write_text("{}")
    lines = [{**LINE, key: value} for key in LINE for value in ODD]
    lines += [{**LINE, "regions": [{**LINE["regions"][0], key: value}]} for key in LINE["regions"][0] for value in ODD]
    lines += [{k: v for k, v in LINE.items() if k != key} for key in LINE]
    record_property("tried", len(lines))
    for line in lines:
        (folder / "finished.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(LINE) + "\n")
        records = Records(tmp_path, {}, force=False)
        records.start()
        assert "a.jpg" in [regions.name for regions in records.regions(instead={})]
        assert not records.is_finished("a.jpg", tmp_path / "a.jpg", [])


@pytest.mark.parametrize("name", ["settings.json", "finished.jsonl", "lock", "owner.json"])
def test_a_folder_in_place_of_a_record_is_an_error_of_ours(name, tmp_path):
    (tmp_path / ".likewise" / name).mkdir(parents=True)
    with suppress(OutputError):
        process_images([], lambda image, file: image, tmp_path, classes=("a",), settings={})
