"""`likewise demo`."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from likewise.jobs import demo


def test_the_demo_reaches_its_minimum_ious_and_writes_images(likewise, photos):
    code, out, _ = likewise("demo", "-o", "demo")
    assert code == 0
    assert "motorcycle" in out
    sheet = Image.open("demo/sheet.png")
    assert sheet.width > 1000
    for name in ("motorcycle", "coins"):
        for suffix in (".png", ".mask.png", ".overlay.png", ".cutout.png"):
            assert Path(f"demo/{name}{suffix}").is_file()


def test_an_iou_below_the_minimum_fails_the_demo(likewise, photos, monkeypatch):
    coins = demo.coins()
    monkeypatch.setattr(demo, "motorcycle", lambda: replace(coins, name="motorcycle"))
    monkeypatch.setattr(demo, "coins", lambda: replace(coins, minimum=0.99))
    code, _, err = likewise("demo", "-o", "demo")
    assert code == 1
    assert "minimum" in err


def test_the_demo_compares_the_bundled_models(likewise, photos):
    _, out, _ = likewise("demo", "-o", "both")
    assert [line.split()[0] for line in out.splitlines() if "lite0" in line] == ["motorcycle", "coins"] * 2
    assert out.count("prototypes-lite0") == out.count("panet-lite0") == 2
    code, out, _ = likewise("demo", "-o", "one", "--model", "panet-lite0")
    assert code == 0
    assert "prototypes-lite0" not in out
    assert Image.open("both/sheet.png").width > Image.open("one/sheet.png").width
    assert "prototypes-lite0" in likewise("models")[1]


def test_a_file_in_place_of_the_output_folder_is_refused(likewise, photos):
    Path("taken").write_text("")
    code, _, err = likewise("demo", "-o", "taken", "--model", "panet-lite0")
    assert code == 2
    assert "taken" in err
