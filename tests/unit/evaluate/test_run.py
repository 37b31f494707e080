import json
from pathlib import Path

import pytest

from likewise.data.episodes import Episode
from likewise.errors import ArgumentError, DataSetError, RunError
from likewise.evaluate.run import Run, open_folds, read_episodes, read_run, start_run, write_episodes
from support import fakes


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=6)


def start(root: Path, out: Path, **settings: object) -> Run:
    defaults = {"protocol_name": "hsnet-2021", "data": root, "model": {"model": "none", "side": 320}}
    if "episodes" not in settings:
        defaults["count"] = 4
    return start_run(out, **{**defaults, **settings})


def test_a_run_has_lists_of_all_folds_and_all_settings(root: Path, tmp_path: Path) -> None:
    run = start(root, tmp_path / "run", shots=2)
    assert list(run.folds) == [0, 1, 2, 3]
    assert [len(read_episodes(run.list_path(fold))) for fold in run.folds] == [4] * 4
    settings = json.loads((tmp_path / "run/run.json").read_text())["settings"]
    assert settings["protocol"] == "hsnet-2021"
    assert (settings["shots"], settings["ways"], settings["count"], settings["seed"]) == (2, 1, 4, None)
    assert settings["data"] == str(root.resolve())
    assert settings["model"] == {"model": "none", "side": 320}
    # the lists name an image of each class of the next fold as well
    fold = settings["folds"]["3"]
    assert fold["name"] == "PASCAL-5i fold 3 val"
    assert (fold["listed"], fold["present"], fold["episodes"]) == (15, 15, 4)


def test_missing_images_are_counted_in_the_settings(tmp_path: Path) -> None:
    root = fakes.make_voc(tmp_path / "voc", per_class=6)
    (root / "VOC2012/JPEGImages/2007_001003.jpg").unlink()
    fold = start(root, tmp_path / "run").settings["folds"]["0"]
    assert (fold["listed"], fold["present"]) == (15, 14)


def test_a_run_resumes_with_the_same_settings(root: Path, tmp_path: Path) -> None:
    before = start(root, tmp_path / "run")
    stamp = (tmp_path / "run/run.json").stat().st_mtime_ns
    assert start(root, tmp_path / "run").settings == before.settings
    assert read_run(tmp_path / "run").settings == before.settings
    assert (tmp_path / "run/run.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"shots": 2}, "shots was 1 and is now 2"),
        ({"protocol_name": "likewise-1"}, "protocol was 'hsnet-2021' and is now 'likewise-1'"),
        ({"count": 5}, "count was 4 and is now 5"),
        ({"seed": 7}, "seed was None and is now 7"),
        ({"model": {"model": "none", "side": 400}}, "model.side was 320 and is now 400"),
        ({"fold": 0}, "folds.3.present was 15 and is now None"),
    ],
)
def test_other_settings_are_refused_by_their_names_and_values(
    root: Path, tmp_path: Path, changed: dict, named: str
) -> None:
    start(root, tmp_path / "run")
    with pytest.raises(RunError, match=named):
        start(root, tmp_path / "run", **changed)


def test_a_run_whose_data_lost_an_image_is_refused(tmp_path: Path) -> None:
    root = fakes.make_voc(tmp_path / "voc", per_class=6)
    start(root, tmp_path / "run")
    (root / "VOC2012/JPEGImages/2007_001003.jpg").unlink()
    with pytest.raises(RunError, match=r"folds\.0\.present was 15 and is now 14"):
        start(root, tmp_path / "run")
    with pytest.raises(RunError, match=r"15 of 15 .*PASCAL-5i fold 0 val.* 14 of 15"):
        read_run(tmp_path / "run")


def test_a_run_reads_its_data_from_a_new_place(tmp_path: Path) -> None:
    root = fakes.make_voc(tmp_path / "voc", per_class=6)
    start(root, tmp_path / "run", fold=1)
    root.rename(tmp_path / "moved")
    assert list(read_run(tmp_path / "run", tmp_path / "moved").folds) == [1]


def test_masks_without_recorded_settings_are_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "run/fold2/masks").mkdir(parents=True)
    with pytest.raises(RunError, match=r"fold2/masks"):
        start(root, tmp_path / "run")


def test_a_folder_without_a_run_raises(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"run\.json"):
        read_run(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_damaged_settings_raise(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=r"run\.json"):
        read_run(tmp_path)


def test_a_changed_episode_list_is_refused(root: Path, tmp_path: Path) -> None:
    run = start(root, tmp_path / "run", fold=0)
    write_episodes(run.list_path(0), read_episodes(run.list_path(0))[:3])
    with pytest.raises(RunError, match=r"episodes\.jsonl"):
        read_run(tmp_path / "run")


def test_a_given_list_sets_the_shots_and_ways_of_the_run(root: Path, tmp_path: Path) -> None:
    theirs = start(root, tmp_path / "theirs", protocol_name="panet-2019", fold=0, count=1, shots=2, ways=2)
    listed = theirs.list_path(0)
    ours = start(root, tmp_path / "ours", protocol_name="likewise-1", fold=0, episodes=listed)
    assert (ours.settings["shots"], ours.settings["ways"]) == (2, 2)
    assert read_episodes(ours.list_path(0)) == read_episodes(listed)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"classes": ["boat"], "supports": [["x"]], "query": "y", "seed": 0}', "list.jsonl, line 1: y "),
        ('{"classes": ["boat"], "supports": [[]], "query": "y", "seed": 0}', "list.jsonl, line 1"),
        ('{"classes": ["boat"], "supports": [], "query": "y", "seed": 0}', "list.jsonl, line 1"),
        ("", "list.jsonl"),
    ],
)
def test_a_given_list_that_does_not_fit_names_its_line(root: Path, tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "list.jsonl").write_text(line)
    with pytest.raises(RunError, match=message):
        start(root, tmp_path / "run", fold=0, episodes=tmp_path / "list.jsonl")


def test_an_unknown_class_in_a_given_list_raises_with_a_close_match(root: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.jsonl"
    listed.write_text('{"classes": ["boats"], "supports": [["x"]], "query": "y", "seed": 0}')
    with pytest.raises(DataSetError, match=r"boat\?"):
        start(root, tmp_path / "run", fold=0, episodes=listed)


@pytest.mark.parametrize(
    ("given", "named"),
    [({"shots": 1}, "--shots"), ({"ways": 2, "seed": 0}, "--ways, --seed"), ({"count": 4}, "--count")],
)
def test_a_given_list_excludes_the_arguments_of_drawing(
    root: Path, tmp_path: Path, given: dict[str, int], named: str
) -> None:
    listed = start(root, tmp_path / "theirs", fold=0).list_path(0)
    with pytest.raises(ArgumentError, match=f"--episodes or {named}$"):
        start(root, tmp_path / "ours", fold=0, episodes=listed, **given)
    assert not (tmp_path / "ours").exists()


def test_a_given_list_needs_a_single_fold(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="--fold"):
        start(root, tmp_path / "run", episodes=tmp_path / "list.jsonl")


@pytest.mark.parametrize(("fold", "folds"), [("all", [0, 1, 2, 3]), ("2", [2]), (2, [2])])
def test_folds_are_named_by_number_or_all(root: Path, fold: str | int, folds: list[int]) -> None:
    opened = open_folds(root, fold)
    assert [dataset.fold for dataset in opened.values()] == list(opened) == folds


@pytest.mark.parametrize("benchmark", [None, "pascal-5i"])
def test_a_fold_opens_where_no_other_is_on_disk(tmp_path: Path, benchmark: str | None) -> None:
    root = fakes.make_voc(tmp_path)
    for number in 0, 1, 2:
        for entry in open_folds(root, number)[number].entries:
            (root / f"VOC2012/JPEGImages/{entry.image}.jpg").unlink(missing_ok=True)
    opened = open_folds(root, "3", benchmark)
    assert [dataset.fold for dataset in opened.values()] == list(opened) == [3]
    with pytest.raises(DataSetError, match="PASCAL-5i fold 0 val is present"):
        open_folds(root, "all", benchmark)


@pytest.mark.parametrize("fold", ["4", -1, "al"])
def test_an_unknown_fold_raises_with_the_known_folds(root: Path, fold: str | int) -> None:
    with pytest.raises(DataSetError, match=r"fold of PASCAL-5i .*0, 1, 2, 3, all"):
        open_folds(root, fold)


def test_a_set_without_folds_has_fold_0(tmp_path: Path) -> None:
    for name in "cup", "pen":
        for i in range(2):
            fakes.write_image(tmp_path / name / f"{i}.jpg", fakes.noise(i))
            fakes.write_image(tmp_path / name / f"{i}.png", fakes.block(1, i, border=0) * 255)
    assert list(open_folds(tmp_path)) == [0]


def test_an_unknown_protocol_or_benchmark_raises_with_a_close_match(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"hsnet-2021\?"):
        start(root, tmp_path / "run", protocol_name="hsnet-2020")
    with pytest.raises(ArgumentError, match=r"pascal-5i\?"):
        start(root, tmp_path / "run", benchmark="pascal5i")
    assert not (tmp_path / "run").exists()


def test_a_root_without_data_raises_with_the_needed_files(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"JPEGImages .*SegmentationClassAug"):
        start(tmp_path, tmp_path / "run")


def test_episode_lists_round_trip_through_a_file(tmp_path: Path) -> None:
    episodes = [Episode(("cat", "dog"), (("a", "b"), ("c", "d")), "q", 7), Episode(("cat",), (("a",),), "b")]
    write_episodes(tmp_path / "episodes.jsonl", episodes)
    assert read_episodes(tmp_path / "episodes.jsonl") == episodes
    first = (tmp_path / "episodes.jsonl").read_text().splitlines()[0]
    assert first.startswith('{"classes": [')


@pytest.mark.parametrize(
    "line", ["{", '{"classes": ["cat"]}', "[]", '{"classes": ["c"], "supports": 3, "query": "q", "seed": 0}']
)
def test_a_broken_episode_list_names_its_line(tmp_path: Path, line: str) -> None:
    write_episodes(tmp_path / "e.jsonl", [Episode(("cat",), (("a",),), "b")])
    with (tmp_path / "e.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataSetError, match=r"e\.jsonl, line 2"):
        read_episodes(tmp_path / "e.jsonl")


def test_a_missing_list_raises(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"none\.jsonl"):
        read_episodes(tmp_path / "none.jsonl")
