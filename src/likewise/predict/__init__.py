"""Images in, masks at the size of each image out."""
