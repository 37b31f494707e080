"""Draw docs/resolution.jpg: the outline of a motorcycle after one look and after two.

    python experiments/21-resolution/figure.py

The photographs are scikit-image's; no setting was chosen on them.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from likewise import FewShot
from likewise.jobs.demo import motorcycle

OUT = Path(__file__).resolve().parents[2] / "docs/resolution.jpg"
WIDTH, LINE = 460, 26


def main() -> None:
    task, tiles = motorcycle(), []
    for quality in ("fast", "balanced"):
        few_shot = FewShot(quality=quality)
        result = few_shot.segment(task.query, few_shot.learn(task.example))
        both = ((result.mask & task.truth)[task.scored].sum(), (result.mask | task.truth)[task.scored].sum())
        tiles.append((f"{quality}: IoU {both[0] / both[1]:.2f}", result.overlay()))
    height = WIDTH * tiles[0][1].shape[0] // tiles[0][1].shape[1]
    sheet = Image.new("RGB", (WIDTH * len(tiles), height + LINE), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for column, (text, image) in enumerate(tiles):
        sheet.paste(Image.fromarray(np.asarray(image)).resize((WIDTH - 6, height)), (column * WIDTH, 0))
        draw.text((column * WIDTH, height + 4), text, "black", font)
    sheet.save(OUT, quality=85)


if __name__ == "__main__":
    main()
