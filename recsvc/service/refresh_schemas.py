"""What goes in and out of `/v1/refreshes`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from recsvc.refresh.run_journal import State
from recsvc.service.schemas import RequestBody

LinearModel = Literal[
    "chebycf",
    "deepwalk",
    "ease",
    "fastrp",
    "gfcf",
    "itemknn",
    "lightgcn",
    "mf",
    "node2vec",
    "ridge",
    "turbocf",
    "walk3",
]
"""The models a blend can be made of. A test compares: loading them would load what trains."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class RefreshRequest(RequestBody):
    """A refresh that is wanted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"models": ["lightgcn", "ridge"]}]})

    models: Annotated[tuple[LinearModel, ...], Field(max_length=20, strict=False)] = ()
    """The models of the blend; left out, those of `recsvc refresh`."""
    force: bool = False
    """As `recsvc refresh --force`."""
    from_scratch: bool = False
    """As `recsvc refresh --from-scratch`."""


class BegunRefreshDocument(_Document):
    """A refresh that has begun, or goes on; `Location` is the address of its progress."""

    id: str
    """The name of the run, which its versions carry too."""
    state: State


class RefreshStepDocument(_Document):
    """One step of a refresh."""

    name: str
    state: Literal["running", "done", "interrupted"]
    attempt: int
    """Which attempt made it: the next refresh resumes an interrupted one."""
    started_at: str
    seconds: float | None
    """How long it took; null while it is under way."""
    memory_bytes: int | None
    """The most memory the process held in it; null where no system tells."""


class EstimateDocument(_Document):
    """A mean over the validation users, with its 95 % interval."""

    mean: float
    low: float
    high: float


class RefreshDocument(_Document):
    """How a refresh goes, or went."""

    id: str
    state: State
    """`unfinished`: it is under way, or was interrupted and can be resumed."""
    running: bool | None
    """Whether a process works on it now; null where Neo4j, which knows, does not answer."""
    error: str | None
    """Why it failed, or was interrupted."""
    begun_at: str | None
    finished_at: str | None
    models: list[str]
    """The models of its blend."""
    model_options: dict[str, dict[str, Any]] | None
    """The options each of them is fitted with, also those it chose by itself; null until they are
    known."""
    start: str | None
    """What it goes on from and why, or why it begins from scratch; null until that is known."""
    steps: list[RefreshStepDocument]
    """In the order they were begun; those of all attempts."""
    versions: dict[str, int] | None
    """Its versions, by model; null until they are active."""
    metrics: dict[str, dict[str, EstimateDocument]] | None
    """By signal, with the blend as `hybrid`, and metric; null until the gate, as what follows."""
    weights: dict[str, float] | None
    """λ by signal."""
    change: EstimateDocument | None
    """By how much NDCG@20 is above that of the version that was active; null also where there was
    nothing to compare on."""
    compared: str | None
    """On what it was compared with the version that was active, or why not; null until the
    gate."""
    objections: list[str] | None
    """What the gate has against the new versions."""
    overridden: list[str] | None
    """What spoke against versions that were activated by force; null until they are active."""
    unknown_kinds: list[str] | None
    """Kinds of events of the graph that have no weight, so that they count nothing; null where
    there are none, or that is not known yet."""
    report: str | None
    """The address of the page of the run; null until it has ended."""


class RefreshesDocument(_Document):
    """The refreshes that are known, the newest first."""

    refreshes: list[RefreshDocument]
