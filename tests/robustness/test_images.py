"""Broken, foreign and hostile images: an `ImageError`, or pixels; nothing else runs or happens."""

import io
import os
import pickle
import struct
import subprocess
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from likewise.errors import ImageError
from likewise.io.images import read_image, read_size
from likewise.io.masks import read_labels, read_mask
from likewise.io.opening import FORMATS
from support.fuzzing import fuzz

WRITABLE = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "JPEG2000", "PPM")
DAMAGES = ("cut 1%", "cut half", "cut end", "no head", "zeros", "flip", "twice", "text after")


@pytest.fixture(autouse=True)
def no_process(monkeypatch):
    """Pillow would start Ghostscript, and others could be started too."""

    def refuse(*_, **__):
        raise AssertionError("a process is started")

    monkeypatch.setattr(subprocess, "Popen", refuse)


def content(name: str, size=(40, 30)) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, format=name)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow does not write {name} ({error})")
    return buffer.getvalue()


def damaged(data: bytes, damage: str) -> bytes:
    half = len(data) // 2
    return {
        "cut 1%": data[: max(1, len(data) // 100)],
        "cut half": data[:half],
        "cut end": data[:-7],
        "no head": data[16:],
        "zeros": data[:64] + bytes(half) + data[64 + half :],
        "flip": bytes(byte ^ (0xFF if index % 97 == 50 else 0) for index, byte in enumerate(data)),
        "twice": data + data,
        "text after": data + b"<html>",
    }[damage]


def refused_or_read(path: Path) -> None:
    for read in (read_image, read_mask, read_labels, read_size):
        with suppress(ImageError):
            assert len(read(path))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", WRITABLE)
def test_a_damaged_image_is_refused_or_read(name, damage, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(damaged(content(name), damage))
    refused_or_read(path)


Image.init()
FOREIGN = sorted(set(Image.OPEN) - set(FORMATS))


@pytest.mark.parametrize("name", FOREIGN)
def test_an_image_of_a_format_that_is_not_ours_is_refused(name, tmp_path):
    path, buffer = tmp_path / "x.jpg", io.BytesIO()
    try:
        # not to the path: Pillow's SPIDER takes the suffix of a file that it writes for its own
        Image.new("RGB", (16, 16)).save(buffer, format=name)
        path.write_bytes(buffer.getvalue())
    except Exception:  # formats that Pillow only reads
        path.write_bytes({"EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"}.get(name, name.encode() * 99))
    with pytest.raises(ImageError, match=r"x\.jpg"):
        read_image(path)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("harmed",)


def png(width: int, height: int, bits: int = 8, kind: int = 2, data: bytes = b"", more: bytes = b"") -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("../../x.jpg", "x")
    return buffer.getvalue()


HOSTILE = {
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch harmed) (w) file\n",
    "eps with binary head": b"\xc5\xd0\xd3\xc6" + bytes(28) + b"%!PS",
    "pdf": b"%PDF-1.7\n",
    "html": b"<!DOCTYPE html><html>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "xml bomb": b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><l>&b;</l>',
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "pickle": pickle.dumps(Evil()),
    "zip": archive(),
    "elf": b"\x7fELF" + bytes(60),
    "script": b"#!/bin/sh\ntouch harmed\n",
    "text": b"hello\n" * 10,
    "escape codes": b"\x1b[2J\x1b]0;owned\x07" * 9,
    "nothing": b"",
    "one byte": b"\xff",
    "nul": bytes(1000),
    "jpeg head": b"\xff\xd8\xff\xe0",
    "png head": b"\x89PNG\r\n\x1a\n",
    "png of no width": png(0, 5),
    "png of no height": png(5, 0),
    "png bomb": png(100_000, 100_000),
    "png of 2**31": png(2**31 - 1, 1),
    "png of 17 bits": png(5, 5, bits=17),
    "png of kind 9": png(5, 5, kind=9),
    "png of little data": png(5, 5, data=b"\0" * 7),
    "png of much data": png(5, 5, data=bytes(10_000_000)),
    "png of a huge text": png(5, 5, data=bytes(80), more=struct.pack(">I", 2**31 - 1) + b"tEXt"),
    "gif head": b"GIF89a\xff\xff\xff\xff\xff\xff\xff",
    "tiff loop": b"II*\0\x08\0\0\0\x01\0\0\x01\x04\0\x01\0\0\0\x05\0\0\0\x08\0\0\0",
    "tiff far": b"II*\0\xff\xff\xff\xff",
    "bmp negative": b"BM" + bytes(12) + struct.pack("<IiiHHIIiiII", 40, -5, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
    "ppm huge": b"P6 99999999 99999999 255\n",
    "ppm letters": b"P6 a b c\n",
    "webp head": b"RIFF\xff\xff\xff\xffWEBPVP8 ",
    "heic head": b"\0\0\0\x18ftypheic" + bytes(40),
    "avif head": b"\0\0\0\x18ftypavif" + bytes(40),
    "jp2 head": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_hostile_content_is_refused_or_read_and_harms_nothing(name, suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(HOSTILE[name])
    refused_or_read(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", WRITABLE)
def test_random_damages_are_refused_or_read(name, tmp_path, record_property):
    data = content(name)
    path = tmp_path / "x.jpg"

    def check(changes: list[tuple[int, bytes]]) -> None:
        changed = bytearray(data)
        for place, new in changes:
            changed[place : place + 1] = new
        path.write_bytes(changed)
        refused_or_read(path)

    change = st.tuples(st.integers(0, len(data) - 1), st.binary(max_size=3))
    fuzz(check, st.lists(change, min_size=1, max_size=5), record_property, share=0.25 / len(WRITABLE))
