"""The image of a memory: what is filled, what is alike, what drifted."""

from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.models.blocks.dataset_memory import DatasetMemory
from likewise.viz.memory import (
    LOW,
    NEVER,
    Snapshot,
    draw_memory,
    drift_of,
    read_memories,
    told_memory,
)
from support.scene_runs import write_run


@pytest.fixture
def memory() -> DatasetMemory:
    """Three classes seen, of which sky and sea are alike; the fourth never seen."""
    memory = DatasetMemory(("sky", "sea", "road", "ghost"), 3)
    memory.vectors[:, 0] = torch.tensor([[1.0, 0, 0], [1.0, 0.1, 0], [0, 0, 1.0], [0, 0, 0]])
    memory.seen[:3] = True
    return memory


def test_what_is_told_names_the_classes_never_seen_and_each_ones_nearest(memory):
    told = told_memory([Snapshot(memory)])
    assert told[0] == "3 of 4 classes filled; never seen: ghost"
    assert told[1:3] == ["sky: nearest is sea (0.995)", "sea: nearest is sky (0.995)"]
    assert len(told) == 4


def test_a_memory_of_one_class_has_no_neighbours_and_is_drawn_all_the_same():
    memory = DatasetMemory(("all",), 3)
    memory.fill(torch.ones(1, 1, 3))
    assert told_memory([Snapshot(memory)]) == ["1 of 1 classes filled"]
    assert draw_memory([Snapshot(memory)]).shape[2] == 3


def colours(image: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in image.reshape(-1, 3)[::1].tolist()}


def test_cells_of_classes_never_seen_are_grey_and_the_least_alike_palest(memory):
    shown = colours(draw_memory([Snapshot(memory)]))
    assert NEVER in shown
    assert tuple(LOW.tolist()) in shown
    memory.fill(torch.eye(4, 3)[:, None] + 0.1)
    assert NEVER not in colours(draw_memory([Snapshot(memory)]))


def test_drift_is_the_cosine_with_the_last_memory(memory):
    earlier = DatasetMemory(memory.classes, 3)
    earlier.vectors[:, 0] = torch.tensor([[0, 1.0, 0], [2.0, 0.2, 0], [0, 0, 0], [0, 0, 0]])
    earlier.seen[:2] = True
    drift = drift_of([Snapshot(earlier, 10), Snapshot(memory, 20)])
    np.testing.assert_allclose(drift[:2], [[0, 1], [1, 1]], atol=1e-6)
    assert np.isnan(drift[2, 0])
    assert drift[2, 1] == pytest.approx(1)
    assert np.isnan(drift[3]).all()
    alone, both = draw_memory([Snapshot(memory)]), draw_memory([Snapshot(earlier, 10), Snapshot(memory, 20)])
    assert both.shape[1] > alone.shape[1]


def test_a_runs_snapshots_come_in_order_and_without_any_its_weights_give_the_memory(memory, tmp_path: Path):
    run = write_run(tmp_path / "run")
    (only,) = read_memories(run)
    assert only.step is None
    assert only.memory.classes == ("sky", "left arm", "right arm", "road")
    (run / "memory").mkdir()
    for step in (20, 3):
        memory.save(run / f"memory/step-{step:07d}.safetensors")
    assert [snapshot.step for snapshot in read_memories(run)] == [3, 20]
    assert [snapshot.step for snapshot in read_memories(run / "memory/step-0000003.safetensors")] == [None]


def test_what_holds_no_memory_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="holds FCN, which has no memory"):
        read_memories(write_run(tmp_path / "fcn", "fcn"))
    with pytest.raises(ValueError, match="there is no such run or memory"):
        read_memories(tmp_path / "nothing")
    with pytest.raises(ValueError, match="not a saved memory"):
        read_memories(tmp_path / "fcn/weights.safetensors")
