"""Errors of the machine learning backend, each with its HTTP status in `STATUS`."""

from likewise.errors import LikewiseError


class PayloadError(LikewiseError):
    """A request that is not of the protocol."""


class ConfigError(LikewiseError):
    """A labelling interface that masks do not fit."""


class UnknownProjectError(LikewiseError):
    """A project that was not connected."""


class AddressError(LikewiseError):
    """An address that may not be read."""


class FetchError(LikewiseError):
    """Label Studio, or another server of images, that does not answer as it should."""


STATUS: dict[type[LikewiseError], int] = {
    PayloadError: 400,
    AddressError: 403,
    UnknownProjectError: 404,
    FetchError: 502,
}
"""HTTP status of an error; 422 for all others."""
