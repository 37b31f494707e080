"""Digests and stamps change with a file, keys with the pixels of an image."""

import hashlib

import numpy as np

from likewise.io.digests import file_digest, pixels_key, short_digest, stamp_of


def test_the_digest_of_a_file_is_its_sha_256(tmp_path):
    path, content = tmp_path / "x", bytes(range(256)) * 4097
    path.write_bytes(content)
    assert file_digest(path) == hashlib.sha256(content).hexdigest()
    assert short_digest(path) == file_digest(path)[:16]


def test_the_stamp_changes_with_a_file_that_exists(tmp_path):
    path = tmp_path / "x"
    assert stamp_of(path) is None
    path.write_bytes(b"one")
    before = stamp_of(path)
    assert stamp_of(path) == before
    path.write_bytes(b"three")
    assert stamp_of(path) != before


def test_the_key_of_pixels_changes_with_values_and_shape():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert pixels_key(pixels) == pixels_key(np.asfortranarray(pixels))
    assert len({pixels_key(each) for each in (pixels, pixels + 1, pixels.reshape(4, 2, 3))}) == 3
