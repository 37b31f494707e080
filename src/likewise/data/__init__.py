"""Data sets as indices of files: episodes of classes, groups of images that share an object, labelled scenes."""
