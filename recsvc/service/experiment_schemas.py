"""What goes in and out about experiments."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from recsvc.experiments.document import Experiment, Name, OutcomeName, Variant
from recsvc.service.schemas import Document, RequestBody, SeenNumber

PropertyName = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class ExperimentIn(RequestBody, Experiment):
    """Two or more ways to make lists."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "variants": [
                        {"name": "now", "share": 0.5},
                        {"name": "before", "share": 0.5, "version": 2},
                    ],
                    "kind": "click",
                }
            ]
        }
    )

    def experiment(self) -> Experiment:
        """The same as it is stored."""
        return Experiment(
            variants=self.variants, kind=self.kind, scenario=self.scenario, effect=self.effect
        )


class StopIn(RequestBody):
    """How an experiment ends."""

    promote: Name | None = None
    """A variant that everybody gets from now on, until the experiment is deleted or another one
    runs or is promoted; left out, all get what they would without an experiment."""
    revision: SeenNumber | None = None
    """The revision that was looked at: where another one is stored, nothing happens, and the answer
    is a 409. Left out, it is any."""


class StoredExperimentDocument(Document):
    """An experiment, and whether it runs."""

    name: str
    revision: int
    """How often it, and those of its name that were deleted, were stored."""
    began_at: str | None
    stopped_at: str | None
    """Null while it runs."""
    promoted: str | None
    """The variant that everybody gets since it ended."""
    promoted_until: str | None
    """Until when they got it: then another experiment began, or was promoted, for the same lists.
    Null while they get it."""
    variants: list[Variant]
    kind: str
    scenario: str | None
    """It is about the lists that are asked for under this scenario; null: under none."""
    effect: float


class UnreadableExperimentDocument(Document):
    """An experiment that somebody edited so that it cannot be read."""

    name: str
    trouble: str
    """Why."""


class ExperimentsDocument(Document):
    """All experiments, by name."""

    experiments: list[StoredExperimentDocument]
    unreadable: list[UnreadableExperimentDocument]
    """They make no lists. One that is put anew or deleted can be read, or is gone."""


class ResultsOptions(Document):
    """Which results."""

    kind: OutcomeName | None = None
    """The kind of outcome, such as `purchase`; left out, that of the experiment."""
    segment: PropertyName | None = None
    """A property of users, such as `country`: results for each of its values, of the 50 with the
    most users."""


class DifferenceDocument(Document):
    """A difference to the first variant, with an interval that holds at all looks together."""

    mean: float
    low: float
    high: float
    p_value: Annotated[float, Field(ge=0.0, le=1.0)]
    """Smallest level at which the interval leaves out 0."""


class VariantResultDocument(Document):
    """What came out of one variant."""

    variant: str
    users: int
    """To whom something was shown."""
    shown: int
    """How many items, each once for each answer."""
    followed: int
    """For how many of these an outcome of the kind followed."""
    rate: float
    difference: DifferenceDocument | None
    """Null for the first variant, and before 50 users of both have an outcome."""


class ResultDocument(Document):
    """What came out, of all users or of those of a segment."""

    value: str
    """Of the property as text, its first 100 characters; empty where all are together, or the users
    have none, NaN or a list."""
    variants: list[VariantResultDocument]
    sample_ratio_p_value: float
    mismatch: bool
    """Users came to the variants so unlike their shares that the rates must not be compared."""


class ChangeDocument(Document):
    """What changed while an experiment ran."""

    kind: Literal["scenario", "version"]
    """A revision of a scenario that was stored, or a version of the blend that became active."""
    name: str
    """Of the scenario, or `hybrid`."""
    number: int
    """Of the revision, or of the version."""
    at: str


class ResultsDocument(Document):
    """What came out of an experiment since it began."""

    experiment: str
    revision: int
    began_at: str | None
    kind: str
    segment: str | None
    results: list[ResultDocument]
    """With `segment` those of its 50 values with the most users."""
    left_out: int
    """How many more values there are."""
    last_days: int | None
    """It began earlier, and older outcomes are not kept: results are of the last so many days, and
    intervals do not hold at all looks. Null where it began later."""
    changed: list[ChangeDocument]
    """Results are of lists from before and after these, in the order of time, 100 at most. To count
    those from after them alone, put the experiment again."""
