"""Measure how well the report of a group finds intruders and unreliable saliency maps.

    python experiments/11-group-health/run.py --data DATA/VOC-coseg --every 5

On the images of each group that were trained on (all but every fifth), so that thresholds are set without the held-out
images. Groups of some members are drawn, half of them with one image of another group. For each stride whose vectors
can be compared and each distance in robust deviations (`likewise.predict.group_health`) it prints the share of
intruders reported, the share of members reported, and the share of groups without an intruder in which an image is
reported. Then, for each certainty, the number of maps below and above it with their mean IoU.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from likewise.data.groups import cosaliency_groups
from likewise.io.images import read_image
from likewise.io.paths import ImageFile
from likewise.models.icnet import STRIDES
from likewise.predict.co_saliency import CoSaliency
from likewise.predict.group_health import far_below_median, group_agreement
from likewise.predict.saliency import Saliency


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="image/<group>/, gt/<group>/")
    parser.add_argument("--every", type=int, default=5, metavar="N", help="leave out every Nth image of each group")
    parser.add_argument("--model", default="icnet-lite0")
    parser.add_argument("--maps", default="saliency-lite0")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--draws", type=int, default=40, help="draws of each group")
    arguments = parser.parse_args()
    groups = cosaliency_groups(arguments.data)
    cosaliency = CoSaliency(arguments.model, maps=arguments.maps, device="cpu")
    saliency = Saliency(arguments.maps, device="cpu")
    learned, certainty, quality = {}, [], []
    for name, images in groups.groups.items():
        known = [image for index, image in enumerate(images) if (index + 1) % arguments.every]
        learned[name] = cosaliency.learn([ImageFile(groups.image_path(name, image), image) for image in known])
        certainty += learned[name].certainty
        for image in known:
            found = saliency.segment(read_image(groups.image_path(name, image))).mask
            truth = groups.read_mask(name, image)
            quality.append((found & truth).sum() / max((found | truth).sum(), 1))
    generator = np.random.default_rng(0)
    draws = []
    for name, group in learned.items():
        others = [other for other in learned if other != name]
        for draw in range(arguments.draws):
            members = generator.permutation(len(group))[: arguments.members]
            other = learned[others[generator.integers(len(others))]]
            draws.append((group, members, other if draw % 2 else None, int(generator.integers(len(other)))))
    print(f"{len(quality)} images of {len(learned)} groups, {len(draws)} draws; model {arguments.model}")
    print("stride  deviations  intruders named  members named  groups without an intruder with an image named")
    for stride in STRIDES:
        found = []
        for group, members, other, index in draws:
            vectors = group.vectors[stride][members, 0]
            if other is not None:
                vectors = torch.cat([vectors, other.vectors[stride][index : index + 1, 0]])
            found.append((group_agreement(vectors).numpy(), other is not None))
        for apart in (2.0, 2.5, 3.0, 4.0, 5.0):
            odd = [(far_below_median(agreement, apart), intruder) for agreement, intruder in found]
            intruders = np.mean([named[-1] for named, intruder in odd if intruder])
            members_named = np.mean(np.concatenate([named[:-1] if intruder else named for named, intruder in odd]))
            disturbed = np.mean([named.any() for named, intruder in odd if not intruder])
            print(f"{stride:6} {apart:11.1f} {intruders:16.3f} {members_named:14.3f} {disturbed:12.3f}")
    sure, good = np.array(certainty), np.array(quality)
    print("certainty  maps below it, their IoU  maps above it, their IoU")
    for level in (0.6, 0.7, 0.8, 0.85):
        low = sure < level
        print(f"{level:9.2f} {low.sum():14} {good[low].mean():9.3f} {(~low).sum():15} {good[~low].mean():9.3f}")


if __name__ == "__main__":
    main()
