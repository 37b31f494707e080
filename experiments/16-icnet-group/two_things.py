"""Write groups of images with two salient things, one of them common, in the layout of a co-saliency set.

    python experiments/16-icnet-group/two_things.py pasted --data DATA -o FOLDER [--every 5]
    python experiments/16-icnet-group/two_things.py voc --data DATA -o FOLDER

`pasted`: co-segmentation images (every Nth, or all) into which the object of an image of another group is pasted, cut
along its mask, about as large as the image's own object, where it hides least of it. No two images of a group have
their second object from the same group as long as there are enough groups. The mask is the own object's visible part.

`voc`: VOC validation images that show exactly two classes, both over at least 4% of the image. A class is a group,
with up to twice as many images that show the class alone, which are not scored; without them the other class can be as
common. Images with the content of a co-segmentation image that the shipped models were trained on are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from likewise.data.groups import GroupSet, cosaliency_groups
from likewise.data.held_out import files_of, find_duplicates, held_out_groups
from likewise.data.pascal import pascal5i
from likewise.io.class_lists import PASCAL
from likewise.io.images import read_image, save_image
from likewise.io.masks import read_labels

AREA = (0.06, 0.25)
"""Least and largest share of the image that a pasted object covers."""
VISIBLE = 0.85
"""Least share of the own object that stays visible."""
FREE = 0.03
"""Share of the own object whose hiding does not count; of such places the one nearest to the centre is taken."""
LEAST_SHARE = 0.04
"""Least share of the image of both classes in a VOC image."""
FEWEST_SCORED = 4
"""Images with two classes that a VOC group has at least."""
CONTEXT = "alone-"
"""Start of the names of images that join their group and are not scored."""

Pixels = UInt8[np.ndarray, "h w 3"]
Mask = Bool[np.ndarray, "h w"]


def cut_out(image: Pixels, mask: Mask) -> tuple[Image.Image, Image.Image] | None:
    """Return the object's crop and its mask, or None if it is small or touches two sides of the image or more."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if mask.mean() < 0.03:
        return None
    touched = sum([mask[0].any(), mask[-1].any(), mask[:, 0].any(), mask[:, -1].any()])
    if touched > 1:
        return None
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Image.fromarray(image[box]), Image.fromarray(mask[box].astype(np.uint8) * 255)


def paste(image: Pixels, mask: Mask, thing: tuple[Image.Image, Image.Image]) -> tuple[Pixels, Mask] | None:
    """Return the image with the thing pasted and the visible part of the mask, or None if it hides too much."""
    height, width = mask.shape
    crop, alpha = thing
    area = np.clip(mask.mean(), *AREA) * mask.size
    scale = np.sqrt(area / (np.asarray(alpha) > 127).sum())
    scale = min(scale, 0.9 * height / crop.height, 0.9 * width / crop.width)
    size = max(1, round(crop.width * scale)), max(1, round(crop.height * scale))
    colours, alpha = np.asarray(crop.resize(size)), np.asarray(alpha.resize(size)) / 255
    places = []
    for top in np.linspace(0, height - size[1], 8).astype(int).tolist():
        for left in np.linspace(0, width - size[0], 8).astype(int).tolist():
            hidden = (mask[top : top + size[1], left : left + size[0]] & (alpha > 0.5)).sum() / mask.sum()
            centre = np.hypot((top + size[1] / 2) / height - 0.5, (left + size[0] / 2) / width - 0.5)
            places.append((max(hidden, FREE), centre, top, left))
    hidden, _, top, left = min(places)
    if hidden > 1 - VISIBLE:
        return None
    pasted, visible = image.copy(), mask.copy()
    window = pasted[top : top + size[1], left : left + size[0]]
    window[:] = np.rint(window * (1 - alpha[..., None]) + colours * alpha[..., None]).astype(np.uint8)
    visible[top : top + size[1], left : left + size[0]] &= alpha <= 0.5
    return pasted, visible


def write(out: Path, group: str, name: str, image: Pixels, mask: Mask) -> None:
    for folder, pixels in ("image", image), ("gt", mask.astype(np.uint8) * 255):
        (out / folder / group).mkdir(parents=True, exist_ok=True)
        save_image(pixels, out / folder / group / f"{name}.png")


def write_pasted(groups: GroupSet, out: Path) -> None:
    names = list(groups.groups)
    for place, group in enumerate(names):
        others = [name for name in names if name != group]
        count = 0
        for index, image in enumerate(groups.groups[group]):
            own = read_image(groups.image_path(group, image)), groups.read_mask(group, image)
            for attempt in range(3 * len(others)):
                donor = others[(7 * index + attempt + place) % len(others)]
                donors = groups.groups[donor]
                file = donors[(index + attempt) % len(donors)]
                thing = cut_out(read_image(groups.image_path(donor, file)), groups.read_mask(donor, file))
                found = paste(*own, thing) if thing is not None and own[1].any() else None
                if found is not None:
                    write(out, group, f"{image}+{donor}", *found)
                    count += 1
                    break
        print(f"{group}: {count} of {len(groups.groups[group])} images")


def write_voc(data: Path, out: Path) -> None:
    home = data / "VOC2012"
    names = sorted({entry.image for fold in range(4) for entry in pascal5i(data, fold).entries})
    files = [home / "JPEGImages" / f"{name}.jpg" for name in names]
    whole = cosaliency_groups(data / "VOC-coseg")
    held = set(files_of(held_out_groups(whole, every=5)))
    known = find_duplicates(files, [file for file in files_of(whole) if file not in held])
    both: dict[int, list[tuple[Path, int]]] = {}
    alone: dict[int, list[Path]] = {}
    for file, duplicate in zip(files, known, strict=True):
        labels = read_labels(home / "SegmentationClassAug" / f"{file.stem}.png")
        shares = np.bincount(labels.ravel(), minlength=256)[1:21] / labels.size
        shown = np.flatnonzero(shares > 0.005)
        if duplicate or not len(shown) or shares[shown].min() < LEAST_SHARE:
            continue
        if len(shown) == 1:
            alone.setdefault(int(shown[0]), []).append(file)
        elif len(shown) == 2:
            for common, other in (shown, shown[::-1]):
                both.setdefault(int(common), []).append((file, int(other)))
    for common, scored in sorted(both.items()):
        context = alone.get(common, [])[: 2 * len(scored)]
        if len(scored) < FEWEST_SCORED or len(context) < len(scored):
            continue
        group = PASCAL[common]
        named = [(file, f"{file.stem}+{PASCAL[other]}") for file, other in scored]
        for file, name in [*named, *((file, CONTEXT + file.stem) for file in context)]:
            labels = read_labels(home / "SegmentationClassAug" / f"{file.stem}.png")
            write(out, group, name, read_image(file), labels == common + 1)
        print(f"{group}: {len(scored)} images and {len(context)} more of the class alone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("pasted", "voc"))
    parser.add_argument("--data", type=Path, required=True, help="folder with VOC-coseg, VOC2012 and splits")
    parser.add_argument("--every", type=int, metavar="N", help="of the co-segmentation groups, every Nth image")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    if options.kind == "voc":
        write_voc(options.data, options.out)
    else:
        whole = cosaliency_groups(options.data / "VOC-coseg")
        kept = held_out_groups(whole, every=options.every) if options.every else whole
        write_pasted(kept, options.out)


if __name__ == "__main__":
    main()
