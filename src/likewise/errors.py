"""Every error that likewise raises on purpose; the command line catches `LikewiseError` and nothing else."""


class LikewiseError(ValueError):
    """Input that cannot be used; the message says what came, what is needed and what to do."""


class WeightsError(LikewiseError):
    """Weights that cannot be had or do not fit; the message says which and what to do."""


class ImageError(LikewiseError):
    """A file (or an image object) that cannot be used as the image or mask it was given as."""


class ConceptError(LikewiseError):
    """A concept that cannot be read, merged or used with this model; the message says why and what to do."""


class OutputError(LikewiseError):
    """The results cannot or must not be written where they were asked for."""


class PredictionError(LikewiseError):
    """Predictions that cannot be scored; the message names them."""


class RunError(LikewiseError):
    """A run that cannot be taken up again; the message says why and what to do."""


class RecipeError(LikewiseError):
    """A recipe that cannot be had or does not hold together; the message says which key and what to write."""


class TrainingError(LikewiseError):
    """A run that cannot start or go on; the message says what to do."""


class DataSetError(LikewiseError):
    """A data set that is not where it was looked for, or a fold, class or split that it does not have."""
