"""Data sets as indices of files: episodes of classes, groups of images that share an object, labelled scenes.

Loaders raise `DataSetError` for an unknown fold, split or class, and for missing or damaged files and lists; reading an
image or a label map raises `ImageError`.
"""
