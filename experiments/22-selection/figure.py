"""Draw docs/selection.jpg: photographs of scikit-image with the masks that clicks and boxes make.

    python experiments/22-selection/figure.py

No setting was chosen on them, and the network was not trained on them.
"""

from pathlib import Path

from PIL import Image
from skimage import data

from likewise import Example
from likewise.viz.contact_sheet import Tile, contact_sheet

OUT = Path(__file__).resolve().parents[2] / "docs/selection.jpg"


def main() -> None:
    coffee, cat, motorcycle, astronaut = data.coffee(), data.chelsea(), data.stereo_motorcycle()[0], data.astronaut()
    shown = [
        ("One click", Example(coffee, points=[(280, 190, 1)])),
        ("A click, one not on it", Example(coffee, points=[(280, 190, 1), (150, 330, 0)])),
        ("A box", Example(cat, box=(25, 5, 425, 298))),
        ("A box", Example(motorcycle, box=(80, 70, 620, 460))),
        ("One click", Example(astronaut, points=[(220, 380, 1)])),
        ("A box", Example(astronaut, box=(400, 15, 505, 420))),
    ]
    tiles = [Tile(example.overlay(), title) for title, example in shown]
    sheet = contact_sheet([tiles[:3], tiles[3:]], header="Masks of clicks and boxes", subtitle="likewise.Selector")
    small = Image.fromarray(sheet)
    small.thumbnail((1100, 1100))
    small.save(OUT, quality=82)


if __name__ == "__main__":
    main()
