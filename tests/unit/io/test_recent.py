from likewise.io.recent import Recent


def test_a_value_is_made_once_while_there_is_room() -> None:
    made = []
    recent = Recent(100, len)

    def make() -> bytes:
        made.append(1)
        return bytes(40)

    assert recent.get("a", make) is recent.get("a", make)
    assert len(made) == 1


def test_what_was_unused_for_longest_is_forgotten_first() -> None:
    recent = Recent(100, len)
    for key in "a", "b", "a", "c":
        recent.get(key, lambda: bytes(40))
    assert list(recent.values) == ["a", "c"]
    assert recent.bytes == 80


def test_a_value_beyond_the_limit_is_given_and_not_kept() -> None:
    recent = Recent(100, len)
    assert len(recent.get("a", lambda: bytes(101))) == 101
    assert not recent.values
    assert recent.bytes == 0
