"""What every command has in common."""

from likewise.jobs import demo


def test_an_interrupted_command_says_how_to_go_on(likewise, photos, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "motorcycle", interrupted)
    code, _, errors = likewise("demo", "-o", "out")
    assert code == 130
    assert errors.strip() == "stopped; start the same command again to go on"


def test_a_command_that_there_is_not_is_told(likewise):
    code, _, errors = likewise("segmnt")
    assert code == 2
    assert "segmnt" in errors
    assert "stopped" not in errors
