"""Hypercorrelations: correlations of every query position with every support position, and 4D kernels over them.

A hypercorrelation has axes `b t hq wq hs ws`: `t` feature taps of one stride, the query plane, the support plane.
"""
