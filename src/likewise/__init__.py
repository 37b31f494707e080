"""Masks in a picture, found by looking at other pictures."""

__version__ = "0.1.0"
