"""Pictures in, masks at the size of the picture out."""
