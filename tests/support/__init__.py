"""Helpers of the tests: fake data sets, small runs, suites that every model inherits."""

from support import annotations as annotations  # jaxtyping reads it as an attribute of this package
