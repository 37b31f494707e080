"""One model, one file; what models share is in `blocks` and `likewise.ops`."""
