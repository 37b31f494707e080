"""The usual normalisation of images. No torch here."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of each channel of RGB images in [0, 1]."""
