from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from likewise.data.episodes import Episode, EpisodeSet, read_pair
from likewise.data.pascal import pascal5i
from likewise.errors import ImageError
from likewise.evaluate.protocols import find_protocol
from likewise.evaluate.segmenter import episode_segmenter, predictor_options, support_example
from likewise.predict.examples import Example, mark
from likewise.predict.few_shot import FewShot
from support import fakes
from support.fake_runs import make_hsnet_run


def open_for(name: str, model: str = "panet-lite0", **options) -> FewShot:
    """A small predictor with the options of a protocol."""
    return FewShot(model, side=96, device="cpu", **predictor_options(find_protocol(name)), **options)


@pytest.fixture(scope="module")
def few_shot() -> FewShot:
    return open_for("likewise-1")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> EpisodeSet:
    return pascal5i(fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=6), 0)


def test_labels_equal_learning_and_segmenting_each_episode_alone(few_shot: FewShot, dataset: EpisodeSet) -> None:
    chosen = find_protocol("hsnet-2021")
    episodes = chosen.episodes(dataset, shots=3, count=12)
    segment = episode_segmenter(few_shot, chosen)
    found = [segment(dataset, episode)[0] for episode in episodes]
    own = FewShot("panet-lite0", side=96, quality="fast", edges=False, engine="torch", device="cpu")
    for episode, labels in zip(episodes, found, strict=True):
        pairs = [read_pair(dataset, name, episode.classes, 400) for name in (*episode.supports[0], episode.query)]
        concept = own.learn([Example(image, mask=labelled == 1) for image, labelled in pairs[:-1]])
        # batches and engines round differently, which can flip a pixel at an outline
        assert (labels != own.segment(pairs[-1][0], concept).labels).sum() <= 2


def test_every_image_goes_through_the_backbone_once(dataset: EpisodeSet) -> None:
    few_shot, chosen = open_for("hsnet-2021"), find_protocol("hsnet-2021")
    episodes = chosen.episodes(dataset, shots=2, count=40)
    segment = episode_segmenter(few_shot, chosen)
    for episode in episodes:
        segment(dataset, episode)
    assert few_shot.head.extractor.backbone.passes == len({p for e in episodes for p in (e.query, *e.supports[0])})


def test_swapping_the_ways_swaps_their_labels(few_shot: FewShot, dataset: EpisodeSet) -> None:
    chosen = find_protocol("likewise-1")
    segment = episode_segmenter(few_shot, chosen)
    for episode in chosen.episodes(dataset, shots=2, ways=2, count=10):
        labels, presences = segment(dataset, episode)
        assert labels.shape == (60, 80)
        assert len(presences) == 2
        swapped = Episode(episode.classes[::-1], episode.supports[::-1], episode.query)
        # sums over the classes round differently in another order, which can flip a pixel at an outline
        assert (segment(dataset, swapped)[0] != np.array([0, 2, 1])[labels]).sum() <= 2


def test_pixels_of_other_ways_are_ignored_in_a_support(dataset: EpisodeSet, tmp_path: Path) -> None:
    image = dataset.images_of["boat"][0]
    labels = dataset.read_labels(image, ("boat",))
    labels[:20] = 2
    both = replace(
        dataset,
        read_class=lambda _, name: np.where(labels == 255, 255, labels == {"boat": 1, "bird": 2}[name]).astype(
            np.uint8
        ),
    )
    example = support_example(both, image, ("boat", "bird"), 0, find_protocol("likewise-1"))
    _, foreground, background = mark(example)
    np.testing.assert_array_equal(foreground, labels == 1)
    np.testing.assert_array_equal(background, (labels == 0) | (labels == 255))
    alone = support_example(both, image, ("boat",), 0, find_protocol("likewise-1"))
    np.testing.assert_array_equal(alone.mask, labels == 1)
    assert alone.class_name == "boat"


def test_a_support_without_its_class_is_named(few_shot: FewShot, dataset: EpisodeSet) -> None:
    boat, bird = dataset.images_of["boat"][-1], dataset.images_of["bird"][-1]
    episode = Episode(("bird",), ((boat,),), bird)
    with pytest.raises(ImageError, match=rf"{boat}\.jpg.*bird"):
        episode_segmenter(few_shot, find_protocol("hsnet-2021"))(dataset, episode)


def test_the_settings_of_a_model_hold_what_the_masks_depend_on(few_shot: FewShot) -> None:
    settings = few_shot.settings
    assert settings["model"] == "panet-lite0"
    assert str(settings["backbone"]).startswith("lite0@")
    assert settings["side"] == 96
    assert settings["weights"] == few_shot.fingerprint


@pytest.mark.parametrize(("name", "votes"), [("hsnet-2021", True), ("likewise-1", False)])
def test_hsnet_votes_under_the_papers_protocols_only(
    dataset: EpisodeSet, tmp_path: Path, name: str, votes: bool
) -> None:
    few_shot, chosen = open_for(name, str(make_hsnet_run(tmp_path))), find_protocol(name)
    assert few_shot.head.votes is votes
    episode = chosen.episodes(dataset, shots=2, count=len(dataset.classes))[0]
    labels, presences = episode_segmenter(few_shot, chosen)(dataset, episode)
    assert presences is None
    assert labels.shape == ((400, 400) if name == "hsnet-2021" else (60, 80))


def test_features_in_bfloat16_are_cached(dataset: EpisodeSet, tmp_path: Path) -> None:
    few_shot = open_for("hsnet-2021", str(make_hsnet_run(tmp_path)), precision="bfloat16")
    chosen = find_protocol("hsnet-2021")
    episodes = chosen.episodes(dataset, shots=1, count=4)
    segment = episode_segmenter(few_shot, chosen)
    for episode in episodes:
        segment(dataset, episode)
    assert few_shot.head.network.network.backbone.passes == len(
        {p for e in episodes for p in (e.query, *e.supports[0])}
    )
    assert few_shot.settings["precision"] == "bfloat16"
