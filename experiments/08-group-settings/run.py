"""Link a validation set of groups, so that settings are chosen on other images than the held-out fifth.

    python experiments/08-group-settings/run.py --data DATA -o FOLDER

FOLDER gets links to everything in DATA and two more co-saliency sets of links: `COSEG-val`, the second of every five
images of each group, to measure on, and `COSEG-held`, these and the fifth of every five, to leave out of training. The
script prints the settings that train a recipe without them, and the options of `experiments/09-groups-held-out` that
score the former.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from likewise.data.groups import cosaliency_groups

PLACES = {"COSEG-val": (1,), "COSEG-held": (1, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="with VOC2012, splits, VOC-coseg, DAVIS and CCP")
    parser.add_argument("--out", "-o", type=Path, required=True)
    arguments = parser.parse_args()
    data, out = arguments.data.resolve(), arguments.out
    out.mkdir(parents=True)
    for entry in data.iterdir():
        (out / entry.name).symlink_to(entry)
    whole = cosaliency_groups(data / "VOC-coseg")
    for folder, places in PLACES.items():
        for group, images in whole.groups.items():
            for image in (image for index, image in enumerate(images) if index % 5 in places):
                for kind, file in (
                    ("image", whole.image_path(group, image)),
                    ("gt", data / "VOC-coseg" / "gt" / group / f"{image}.png"),
                ):
                    link = out / folder / kind / group / file.name
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(file)
    names = list(whole.groups)
    print(f"data.root={out} data.held_out.folder=COSEG-held data.held_out.every=null", end=" ")
    print(f"'data.held_out.groups=[{', '.join(names)}]'")
    print(f"--data {out / 'COSEG-val'} --groups {' '.join(names)}")


if __name__ == "__main__":
    main()
