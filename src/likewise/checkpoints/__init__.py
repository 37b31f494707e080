"""The published programs' checkpoints: their names made ours, and files kept that say which network they are of."""
