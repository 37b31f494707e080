from likewise.metrics.scores import Scores


def test_scores_print_their_protocol_and_interval() -> None:
    scores = Scores("likewise-1", {"mIoU": 0.5}, intervals={"mIoU": (0.4, 0.6)})
    assert str(scores) == "likewise-1: mIoU 0.5000 [0.4000, 0.6000]"
