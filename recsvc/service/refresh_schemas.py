"""What goes in and out of `/v1/refreshes`."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field

from recsvc.model_names import KERNELS
from recsvc.refresh.run_manifest import RunOutcome, State
from recsvc.service.schemas import Document, RequestBody

if TYPE_CHECKING:
    KernelModel = str
else:
    KernelModel = Literal[KERNELS]


class RefreshRequest(RequestBody):
    """A refresh that is wanted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"models": ["lightgcn", "ridge"]}]})

    models: (
        Annotated[tuple[KernelModel, ...], Field(min_length=1, max_length=20, strict=False)] | None
    ) = None
    """The models of the blend; left out, those of `recsvc refresh`."""
    force: bool = False
    """As `recsvc refresh --force`."""
    from_scratch: bool = False
    """As `recsvc refresh --from-scratch`."""


class BegunRefreshDocument(Document):
    """A refresh that has begun, or goes on; `Location` is the address of its progress."""

    id: str
    """The name of the run, which its versions carry too."""
    state: State


class RefreshDocument(RunOutcome):
    """How a refresh goes, or went."""

    model_config = ConfigDict(extra="forbid")

    id: str
    """The name of the run."""
    running: bool | None
    """Whether a process works on it now; null where Neo4j, which knows, does not answer."""
    models: list[str]
    """The models of its blend."""
    report: str | None
    """The address of the page of the run; null until it has ended."""


class RefreshesDocument(Document):
    """The refreshes that are known, the newest first."""

    refreshes: list[RefreshDocument]
