from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.data.episodes import Episode, EpisodeSet, load_episode
from likewise.data.pascal import pascal5i
from likewise.errors import ImageError
from likewise.evaluate.protocols import protocol
from likewise.evaluate.segmenter import RememberingBackbone, episode_segmenter, model_settings, support_example
from likewise.predict.examples import Example
from likewise.predict.few_shot import FewShot
from support import fakes
from support.fake_runs import make_hsnet_run


@pytest.fixture(scope="module")
def few_shot() -> FewShot:
    return FewShot("panet-lite0", side=96)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> EpisodeSet:
    return pascal5i(fakes.make_voc(tmp_path_factory.mktemp("voc"), per_class=6), 0)


def test_labels_are_those_of_learning_and_segmenting_each_episode_anew(few_shot: FewShot, dataset: EpisodeSet) -> None:
    chosen = protocol("hsnet-2021")
    episodes = chosen.episodes(dataset, shots=3, count=12)
    with episode_segmenter(few_shot, chosen) as segment:
        found = [segment(dataset, episode) for episode in episodes]
    own = FewShot("panet-lite0", side=96, edges=False)
    for episode, labels in zip(episodes, found, strict=True):
        loaded = load_episode(dataset, episode, 400)
        pairs = zip(loaded.supports[0], loaded.support_labels[0], strict=True)
        concept = own.learn([Example(image, mask=labelled == 1) for image, labelled in pairs])
        np.testing.assert_array_equal(labels, own.segment(loaded.query, concept).labels)
    assert few_shot.edges, "lent, and given back"


def test_every_image_goes_through_the_backbone_once(few_shot: FewShot, dataset: EpisodeSet) -> None:
    chosen = protocol("hsnet-2021")
    backbone = few_shot.network.backbone
    episodes = chosen.episodes(dataset, shots=2, count=40)
    with episode_segmenter(few_shot, chosen) as segment:
        for episode in episodes:
            segment(dataset, episode)
        remembering = few_shot.network.backbone
        assert isinstance(remembering, RememberingBackbone)
        assert remembering.passes == len({p for e in episodes for p in (e.query, *e.supports[0])})
    assert few_shot.network.backbone is backbone


def test_the_backbone_is_given_back_after_an_error(few_shot: FewShot) -> None:
    backbone = few_shot.network.backbone
    with pytest.raises(KeyError), episode_segmenter(few_shot, protocol("likewise-1")):
        raise KeyError
    assert few_shot.network.backbone is backbone


def test_remembered_features_are_the_backbones_and_take_no_more_than_their_memory(few_shot: FewShot) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((3, 3, 64, 96), generator=generator)
    backbone = few_shot.network.backbone
    with torch.inference_mode():
        one = sum(level.nbytes for level in backbone(images[:1]))
        remembering = RememberingBackbone(backbone, memory=2 * one)
        for _ in range(2):
            for level, wanted in zip(remembering(images[1:]), backbone(images[1:]), strict=True):
                torch.testing.assert_close(level, wanted, rtol=1e-3, atol=1e-4)  # batch sizes round differently
        assert remembering.passes == 2
        remembering(images)
    assert len(remembering.cache) == 2
    assert remembering.cache.currsize == 2 * one


def test_several_ways_keep_their_order_and_know_of_each_other(few_shot: FewShot, dataset: EpisodeSet) -> None:
    chosen = protocol("likewise-1")
    for episode in chosen.episodes(dataset, shots=2, ways=2, count=10):
        with episode_segmenter(few_shot, chosen) as segment:
            labels = segment(dataset, episode)
        assert labels.shape == (60, 80)
        swapped = Episode(episode.classes[::-1], episode.supports[::-1], episode.query)
        with episode_segmenter(few_shot, chosen) as segment:
            np.testing.assert_array_equal(segment(dataset, swapped), np.array([0, 2, 1])[labels])


def test_other_ways_of_a_support_are_neither_object_nor_background(dataset: EpisodeSet, tmp_path: Path) -> None:
    image = dataset.images_of["boat"][0]
    labels = dataset.read_labels(image, ("boat",))
    labels[:20] = 2
    both = EpisodeSet(
        *(getattr(dataset, name) for name in ("benchmark", "fold", "split", "classes", "entries", "presence")),
        dataset.image_path,
        lambda image, name: np.where(labels == 255, 255, labels == {"boat": 1, "bird": 2}[name]).astype(np.uint8),
    )
    example = support_example(both, image, ("boat", "bird"), 0, protocol("likewise-1"))
    np.testing.assert_array_equal(example.scribbles == 1, labels == 1)
    np.testing.assert_array_equal(example.scribbles == 2, (labels == 0) | (labels == 255))
    alone = support_example(both, image, ("boat",), 0, protocol("likewise-1"))
    np.testing.assert_array_equal(alone.mask, labels == 1)
    assert alone.class_name == "boat"


def test_a_support_that_shows_nothing_of_its_class_is_named(few_shot: FewShot, dataset: EpisodeSet) -> None:
    boat, bird = dataset.images_of["boat"][-1], dataset.images_of["bird"][-1]
    episode = Episode(("bird",), ((boat,),), bird)
    with (
        episode_segmenter(few_shot, protocol("hsnet-2021")) as segment,
        pytest.raises(ImageError, match=rf"{boat}\.jpg: shows nothing of bird at 400x400"),
    ):
        segment(dataset, episode)


def test_the_settings_of_a_model_change_with_all_its_masks_depend_on(few_shot: FewShot) -> None:
    settings = model_settings(few_shot)
    assert settings["model"] == "panet-lite0"
    assert str(settings["backbone"]).startswith("lite0@")
    assert settings["side"] == 96
    assert settings["weights"] == few_shot.fingerprint


def test_hsnet_votes_under_the_papers_protocols_and_not_under_ours(dataset: EpisodeSet, tmp_path: Path) -> None:
    few_shot = FewShot(str(make_hsnet_run(tmp_path)), side=96, device="cpu")
    seen = {}
    for name in ("hsnet-2021", "likewise-1"):
        chosen = protocol(name)
        episode = chosen.episodes(dataset, shots=2, count=len(dataset.classes))[0]
        with episode_segmenter(few_shot, chosen) as segment:
            seen[name] = few_shot.head.votes
            assert segment(dataset, episode).shape == ((400, 400) if name == "hsnet-2021" else (60, 80))
        assert not few_shot.head.votes
    assert seen == {"hsnet-2021": True, "likewise-1": False}


def test_a_backbone_in_half_width_precision_is_remembered_too(dataset: EpisodeSet, tmp_path: Path) -> None:
    few_shot = FewShot(str(make_hsnet_run(tmp_path)), side=96, device="cpu", precision="bfloat16")
    chosen = protocol("hsnet-2021")
    episodes = chosen.episodes(dataset, shots=1, count=4)
    with episode_segmenter(few_shot, chosen) as segment:
        for episode in episodes:
            segment(dataset, episode)
        assert few_shot.network.backbone.passes == len({p for e in episodes for p in (e.query, *e.supports[0])})
    assert model_settings(few_shot)["precision"] == "bfloat16"
