"""The options of a blend, wherever it is learned: for a refresh, or on tables."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from recsvc.evaluation.splits import HoldOut


def split_commas(value: object) -> object:
    """Names with commas between, as `--set` gives them, apart."""
    return tuple(filter(None, value.split(","))) if isinstance(value, str) else value


def with_parts(
    values: Mapping[str, Any], of_models: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Values of `BlendOptions` with options of those models that take part, below their own."""
    chosen = split_commas(values.get("models", BlendOptions.model_fields["models"].default))
    named = chosen if isinstance(chosen, list | tuple) else ()
    return {"options": {name: of_models[name] for name in named if name in of_models}} | dict(
        values
    )


class BlendOptions(BaseModel):
    """What a blend is made of and how its weights are learned.

    The options of a part may be written with its name before them: `lightgcn.layers=1`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        default=("lightgcn", "node2vec", "ridge"), min_length=1
    )
    """Models that the blend is made of, each linear in what a user did; as text, with commas
    between. PageRank, the meta-paths and popularity always take part."""
    validation_users: int = Field(default=500, ge=10, le=100_000)
    """Users whose held-out items the weights of the blend are learned on."""
    held_out_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of a validation user's items that is held out."""
    hold_out: HoldOut = "random"
    """Which of a validation user's items: some at random, or the latest. Items of which no time is
    known come before those with one, at random."""
    row_size: int = Field(default=200, ge=10, le=10_000)
    """Entries kept in each PageRank and meta-path row."""
    kernel_size: int = Field(default=500, ge=10, le=10_000)
    """Entries kept in each row of a model that has no vectors."""
    damping: float = Field(default=0.5, gt=0.0, lt=1.0)
    """PageRank's damping factor, the chance of going on. The teleport probability, the chance of
    going back to the evidence, is 1 less this."""
    pagerank_epsilon: float = Field(default=5e-3, ge=1e-6, le=0.5)
    """Mass that a PageRank row may lack before it is cut, its L1 error, unless it ends before: see
    `recsvc.signals.pagerank.MOST_LINKS`."""
    options: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict[str, Mapping[str, Any]])
    """Options of the models, by model."""

    @model_validator(mode="before")
    @classmethod
    def _gather_part_options(cls, values: Any) -> Any:
        """`{"walk3.alpha": 1}` says the same as `{"options": {"walk3": {"alpha": 1}}}`."""
        if not isinstance(values, Mapping):
            return values
        gathered = {key: value for key, value in values.items() if "." not in key}
        options = {name: dict(given) for name, given in gathered.get("options", {}).items()}
        for key, value in values.items():
            if "." in key:
                name, _, option = key.partition(".")
                options.setdefault(name, {})[option] = value
        return gathered | ({"options": options} if options else {})

    @model_validator(mode="after")
    def _agree(self) -> "BlendOptions":
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"{', '.join(self.models)} names a model twice: name each once")
        for name in self.options:
            if name not in self.models:
                raise ValueError(
                    f"options of {name!r}, which takes no part: expected {', '.join(self.models)}"
                )
        return self
