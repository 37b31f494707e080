"""Engines compute the features of images; everything after the network is numpy.

`OnnxBackbone` runs an exported backbone by ONNX Runtime and needs no torch; `TorchBackbone` runs any backbone on any
torch device. Both satisfy `FeatureExtractor`.
"""
