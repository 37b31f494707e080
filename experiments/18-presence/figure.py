"""Draw docs/presence.jpg: one example of a motorcycle, and photographs with and without one.

    python experiments/18-presence/figure.py

The photographs are scikit-image's; no setting was chosen on them. Above what `--always` marks, below the default.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from likewise import FewShot
from likewise.jobs.demo import motorcycle

OUT = Path(__file__).resolve().parents[2] / "docs/presence.jpg"
WIDTH, HEIGHT, LINE = 236, 170, 24


def main() -> None:
    task = motorcycle()
    always, default = FewShot(presence=0), FewShot()
    concept = default.learn(task.example)
    images = [task.query, data.chelsea(), data.coffee(), data.rocket(), np.stack([data.camera()] * 3, axis=-1)]
    sheet = Image.new("RGB", (WIDTH * len(images), 2 * HEIGHT + LINE), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for column, image in enumerate(images):
        for row, few_shot in enumerate((always, default)):
            shown = Image.fromarray(few_shot.segment(image, concept).overlay())
            shown.thumbnail((WIDTH - 6, HEIGHT - 6))
            sheet.paste(shown, (column * WIDTH, row * HEIGHT))
        presence = default.segment(image, concept).presence
        draw.text((column * WIDTH, 2 * HEIGHT), f"presence {presence:.2f}", "black", font)
    sheet.save(OUT, quality=82)


if __name__ == "__main__":
    main()
