"""What the API takes and returns; docs/app-api.md explains it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f/\\]+$")]
Colour = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
Coordinate = Annotated[float, Field(ge=-1e5, le=1e5, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Ids = Annotated[list[int], Field(max_length=100_000)]
Sort = Literal["name", "presence", "quality", "unlikely", "changed", "unseen", "review"]
Filter = Literal["all", "new", "accepted", "edited", "absent", "examples", "present", "unseen", "changed", "unreadable"]


class Body(BaseModel):
    """A request's body; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class ClassOut(BaseModel):
    id: int
    name: str
    colour: str
    key: int
    examples: int
    images: int


class Progress(BaseModel):
    done: int
    total: int


class ProjectOut(BaseModel):
    name: str
    root: str | None
    revision: int
    answered: int
    classes: list[ClassOut]
    counts: dict[str, int]
    settings: dict[str, Any]
    progress: dict[str, Progress | None]
    undo: str | None
    redo: str | None
    capabilities: dict[str, Any]


class OpenFolder(Body):
    folder: str


class Settings(Body):
    presence: Share | None = None
    edges: bool | None = None


class ChangeProject(Body):
    settings: Settings


class FolderOut(BaseModel):
    name: str
    path: str
    images: int


class Folders(BaseModel):
    path: str | None
    parent: str | None
    folders: list[FolderOut]


class ImageClassOut(BaseModel):
    id: int
    presence: float
    quality: float
    area: float


class ImageOut(BaseModel):
    id: int
    name: str
    width: int | None
    height: int | None
    status: str
    example: bool
    seen: bool
    classes: list[ImageClassOut]
    presence: float | None
    quality: float | None
    area: float | None
    unlikely: float | None
    changed: float | None
    mask: str
    pixels: str
    error: str | None


class ImageList(BaseModel):
    total: int
    revision: int
    answered: int
    items: list[ImageOut]


class Visible(Body):
    ids: Annotated[list[int], Field(max_length=1000)]


class Stroke(Body):
    points: Annotated[list[tuple[Coordinate, Coordinate]], Field(min_length=1, max_length=10_000)]
    width: Annotated[float, Field(gt=0, le=2000)] = 8
    inside: bool = True


class Marks(Body):
    points: Annotated[list[tuple[Coordinate, Coordinate, Literal[0, 1]]], Field(max_length=1000)] = []
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate] | None = None
    strokes: Annotated[list[Stroke], Field(max_length=1000)] = []
    polygon: Annotated[list[tuple[Coordinate, Coordinate]], Field(max_length=10_000)] = []
    previous: bool = False

    @model_validator(mode="after")
    def _has_marks(self) -> Marks:
        if not (self.points or self.box or self.strokes or len(self.polygon) > 2):
            raise ValueError("give points, a box, strokes or a polygon of three corners or more")
        return self


class Decide(Body):
    decision: Literal["accept", "absent", "reset"]
    as_example: bool | None = None
    base: Annotated[str, Field(max_length=200)] | None = None


class NewClass(Body):
    name: Name
    colour: Colour | None = None


class ChangeClass(Body):
    name: Name | None = None
    colour: Colour | None = None
    key: Annotated[int, Field(ge=0, le=9)] | None = None


class Turned(BaseModel):
    label: str
    images: list[int]
    revision: int


class Added(BaseModel):
    id: int
    name: str


class Suggest(Body):
    ids: Ids | None = None
    count: Annotated[int, Field(ge=1, le=100)] = 8
    class_id: int | None = None


class Proposal(BaseModel):
    id: int
    area: float


class TaskOut(BaseModel):
    state: str
    done: int
    total: int
    error: str | None


class Proposals(TaskOut):
    proposals: list[Proposal]
    outsiders: list[int]


class DecideProposal(Body):
    accept: bool
    class_id: int | None = None


class Export(Body):
    formats: Annotated[list[str], Field(min_length=1, max_length=30)]
    which: Literal["accepted", "all"] = "accepted"
    to: Literal["zip", "folder"] = "zip"
    folder: Annotated[str, Field(max_length=1000)] | None = None

    @model_validator(mode="after")
    def _has_folder(self) -> Export:
        if self.to == "folder" and not self.folder:
            raise ValueError("name the folder")
        return self


class ExportOut(TaskOut):
    path: str | None
    url: str | None
    images: int
    failed: list[tuple[str, str]]


class OpenAnnotations(Body):
    path: Annotated[str, Field(max_length=4000)]
    as_example: bool = True


class Opened(BaseModel):
    images: list[int]
    unmatched: list[str]


class Command(BaseModel):
    segment: str
    concept: str


class Histogram(BaseModel):
    edges: list[float]
    counts: list[int]


class ObjectClass(BaseModel):
    id: int
    name: str
    images: int
    objects: int
    area_mean: float | None
    histogram: Histogram


class ObjectRow(BaseModel):
    image: int
    name: str
    class_id: int
    objects: int
    pixels: int
    share: float


class Objects(BaseModel):
    classes: list[ObjectClass]
    total: int
    items: list[ObjectRow]


class Train(Body):
    iterations: Annotated[int, Field(ge=1, le=100_000)] = 800


class Adopt(Body):
    adopt: bool


class TrainOut(BaseModel):
    available: bool
    why: str | None
    state: str
    images_needed: int
    images: int
    iteration: int
    iterations: int
    seconds_left: float | None
    resumes: bool
    curve: list[tuple[int, float]]
    scores: list[tuple[int, float]]
    error: str | None
    adopted: bool
    is_newer: bool
    can_adopt: bool
