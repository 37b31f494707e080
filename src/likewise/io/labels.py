"""Conventions of label maps."""

IGNORE = 255
"""Label of pixels that metrics and losses skip. Data sets with another convention are converted on reading."""
MOST_CLASSES = IGNORE - 1
"""Labels are 8-bit, and 0 may be the background."""
