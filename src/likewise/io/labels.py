"""Conventions of label maps."""

IGNORE = 255
"""Label of pixels that metrics and losses skip. Data sets with another convention are converted on reading."""
