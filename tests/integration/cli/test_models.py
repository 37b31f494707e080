"""`likewise models`, `likewise backbones` and `likewise --version`."""

from likewise import __version__


def test_models_and_backbones_are_listed_with_their_weights(likewise):
    code, out, _ = likewise("models")
    assert code == 0
    for name in ("panet-lite0", "panet-vgg16", "hsnet-vgg16", "hsnet-resnet50", "hsnet-resnet101"):
        assert name in out
    for name in ("icnet-lite0", "saliency-lite0", "icnet-vgg16"):
        assert name in out
    (default,) = (line for line in out.splitlines() if "the default" in line)
    assert "prototypes-lite0" in default
    code, out, _ = likewise("backbones")
    assert code == 0
    assert "lite0" in out
    assert "bundled" in out


def test_the_version_is_printed(likewise):
    code, out, _ = likewise("--version")
    assert code == 0
    assert __version__ in out
