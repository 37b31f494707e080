"""The tests of every model on hypercorrelations, and an episode of any size for them."""

import torch

from support.model_suite import ModelSuite


def some_episode(size: tuple[int, int], shots: int = 2, support: tuple[int, int] | None = None) -> dict:
    generator = torch.Generator().manual_seed(0)
    height, width = support or size
    masks = torch.zeros(1, shots, height, width)
    masks[..., : height // 2, : width // 2] = 1
    return {
        "support_images": torch.randn(1, shots, 3, height, width, generator=generator),
        "foreground": masks,
        "query_images": torch.randn(1, 3, *size, generator=generator),
        "query_labels": torch.randint(0, 2, (1, *size), generator=generator),
    }


class HSNetSuite(ModelSuite):
    """Inherit, and define `build`."""

    def run(self, model, size):
        episode = some_episode(size)
        del episode["query_labels"]
        return model(**episode)

    def loss(self, model, size):
        return model.loss(**some_episode(size))
