"""Images in, masks at the size of the image out."""

DEFAULT_MODEL = "hsnet-lite0"
"""The model of `FewShot` and of the commands unless another is named."""
