"""What is known of one refresh: noted by it, shown over HTTP, on its page and by the command."""

from collections import defaultdict
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from recsvc.blend.reliance import Reliance
from recsvc.evaluation.groups import UserGroup
from recsvc.evaluation.metrics import Estimate
from recsvc.refresh.log_comparison import LogComparison

State = Literal["unfinished", "activated", "failed"]
Metrics = dict[str, dict[str, Estimate]]
"""By signal, with the blend as `hybrid`, and metric."""


def _readable(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Nothing in place of what it cannot be: anybody may edit the graph it comes from."""
    try:
        return check(value)
    except ValidationError:
        return {}


class _Facts(BaseModel):
    model_config = ConfigDict(
        validate_assignment=True,
        use_attribute_docstrings=True,
        ser_json_inf_nan="constants",  # a number that is none is read as one again
        json_schema_serialization_defaults_required=True,
    )


class RunStep(_Facts):
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


class RunAttempt(_Facts):
    """Who works, or worked, on a run."""

    name: str = ""
    """What they call the run, which is its name where they began it."""
    at: str
    holder: str
    """Of the lease."""
    fence: int
    taken_from: str | None
    """Who had the lease and did not give it back."""
    forced: bool


class RunIdentity(_Facts):
    """What was asked: a run is resumed where the same is asked again."""

    options: dict[str, Any] = {}
    """See `recsvc.refresh.options.RefreshOptions`."""
    events: dict[str, dict[str, Any]] = {}
    """Settings by kind of event."""
    packages: dict[str, str] = {}
    """Versions of the packages it depends on."""
    from_scratch: bool = False


class VersionBefore(_Facts):
    """The version of the blend that was active when the gate began."""

    version: int
    weights: Annotated[dict[str, float], WrapValidator(_readable)] = {}
    metrics: Annotated[Metrics, WrapValidator(_readable)] = {}


class RunOutcome(_Facts):
    """How a refresh goes, or went."""

    state: State
    """`unfinished`: it is under way, or was interrupted and can be resumed."""
    error: str | None = None
    """Why it failed, or was interrupted."""
    begun_at: str | None = None
    finished_at: str | None = None
    model_options: dict[str, dict[str, Any]] | None = None
    """The options each model is fitted with, also those it chose by itself; null until they are
    known."""
    start: str | None = None
    """What it goes on from and why, or why it begins from scratch; null until that is known."""
    steps: list[RunStep]
    """In the order they were begun; those of all attempts."""
    versions: dict[str, int] | None = None
    """Its versions, by model; null until they are active."""
    metrics: Metrics | None = None
    """By signal, with the blend as `hybrid`, and metric, on the validation users; null until the
    gate, as what follows."""
    by_items_known: list[UserGroup] | None = None
    """How good the blend is by how many items are known of a validation user, beside the popular
    list and the best of its signals alone."""
    weights: dict[str, float] | None = None
    """λ by signal."""
    unlearned: str | None = None
    """Why `weights` and `reliance` are the usual ones; null where they were learned."""
    reliance: Reliance | None = None
    """By how much the parts of a score count for more or less with less known of a user."""
    change: Estimate | None = None
    """By how much NDCG@20 is above that of the version that was active; null also where there was
    nothing to compare on."""
    compared: str | None = None
    """On what it was compared with the version that was active, or why not; null until the
    gate."""
    by_log: list[LogComparison] | None = None
    """What the new versions and the active one would have earned where lists were shown that
    explored, by scenario; null where no log was looked at."""
    by_log_error: str | None = None
    """Why that could not be estimated."""
    objections: list[str] | None = None
    """What the gate has against the new versions."""
    warnings: list[str] | None = None
    """What speaks against the new versions and keeps nothing from becoming active: it speaks
    against what was active too, or nothing was, or `refuse_by_log` is off."""
    overridden: list[str] | None = None
    """What spoke against versions that were activated by force; null until they are active."""
    unknown_kinds: list[str] | None = None
    """Kinds of events of the graph that have no weight, so that they count nothing; null where
    there are none, or that is not known yet."""


class RunManifest(RunOutcome):
    """All that is known of a refresh, as `manifest.json` in the folder of its run holds it.

    What is not known yet has its default and is not in the file.
    """

    run: str
    """Its name, which is that of its folder, and which its versions in the graph carry too."""
    identity: RunIdentity
    attempts: list[RunAttempt]
    unread_relationships: dict[str, int] = {}
    """By type: their weight or event cannot be read."""
    repeated_nodes: dict[str, int] = {}
    """By label: they have the id of another."""
    new_versions: dict[str, int] = {}
    """The versions that the gate was asked about, by model."""
    compared_with: VersionBefore | None = None
    """None where none was active."""
    for_new: float = 0.0
    """λ of what items say of themselves, for an item that nobody had; 0 where it is that of
    others, or no model reads it."""
    coverage: dict[str, float] = {}
    """Share of the items that somebody did something with that get a score, by signal."""
    expected: str = ""
    """How long it was to take, told before the first fit; "" of one that goes on from the active
    version."""
    counts: dict[str, int] = {}
    """Nodes, relationships and vectors."""
    cut: dict[str, float] = {}
    """Share of its kernel's weight that was cut off, by model without vectors, and of PageRank
    where its rows were made."""
    lists_error: str | None = None
    """Why it is not known what changes for a sample of users."""
    sha256: str = ""
    """Of the arrays the blend is served from; "" until they are active."""

    @property
    def seconds(self) -> dict[str, float]:
        """Time of each step, over all attempts."""
        times: defaultdict[str, float] = defaultdict(float)
        for step in self.steps:
            times[step.name] += step.seconds or 0.0
        return dict(times)
