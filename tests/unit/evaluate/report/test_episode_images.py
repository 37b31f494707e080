from pathlib import Path

from likewise.data.episodes import Episode
from likewise.evaluate.report.episode_images import episode_images, worst_and_best
from likewise.evaluate.results import EpisodeScore, Results
from likewise.evaluate.run import Run
from likewise.viz.draw import palette


def scored(*ious: float, queries: str = "abcdefghijklmnop") -> list[EpisodeScore]:
    return [
        EpisodeScore(0, line, Episode(("cat",), (("s",),), queries[line]), Path("m.png"), iou)
        for line, iou in enumerate(ious)
    ]


def test_worst_and_best_episodes_are_ranked_and_disjoint() -> None:
    worst, best = worst_and_best(scored(0.5, 0.1, 0.9, 0.3, 0.7), count=2)
    assert [one.iou for one in worst] == [0.1, 0.3]
    assert [one.iou for one in best] == [0.9, 0.7]
    worst, best = worst_and_best(scored(0.5, 0.1, 0.9))
    assert [one.iou for one in worst] == [0.1, 0.5]
    assert [one.iou for one in best] == [0.9]
    assert worst_and_best([]) == ([], [])


def test_a_query_image_occurs_once() -> None:
    worst, best = worst_and_best(scored(0.1, 0.2, 0.3, 0.8, 0.9, queries="aabcc"), count=5)
    assert [one.iou for one in worst] == [0.1, 0.3]
    assert [one.iou for one in best] == [0.9]


def test_supports_are_outlined_and_the_query_shows_prediction_and_truth(run: Run, results: Results) -> None:
    worst, _ = worst_and_best(results.episodes, count=2)
    for shown in episode_images(run, worst):
        assert len(shown.supports) == 4
        for image, colour in zip(shown.supports, palette(2)[[0, 0, 1, 1]], strict=True):
            assert (image == colour).all(axis=2).any()
        assert shown.query.shape[0] / shown.query.shape[1] == 60 / 80
        assert (shown.query == (255, 214, 10)).all(axis=2).any()
