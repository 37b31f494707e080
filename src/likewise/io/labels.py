"""What label maps say beside their classes."""

IGNORE = 255
"""The one label that no metric and no loss counts; foreign conventions become this at the border."""
