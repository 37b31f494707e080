"""The base of all sections of a recipe."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Settings that refuse keys they do not know, and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
