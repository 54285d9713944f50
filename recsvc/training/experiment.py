"""`recsvc evaluate`: what is learned from, and the lists of a model that was fitted on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray

from loaders.datasets import open_source
from loaders.errors import TableError
from loaders.files import whole_file
from loaders.tables import (
    INTERACTIONS,
    ITEMS,
    FrameTables,
    Rejected,
    Tables,
    as_table,
    graph_from_tables,
    read_interactions,
)
from loaders.types import NO_PROPERTIES, HeteroGraph, PropertyNames
from recsvc.content.describe import Describing
from recsvc.evaluation.groups import K
from recsvc.evaluation.held_out import TestCounts, held_out_pairs
from recsvc.evaluation.metrics import CUTS, Ranking, ScoreFunction, top_k
from recsvc.evaluation.splits import HoldOut
from recsvc.event_kinds import unknown_kinds
from recsvc.evidence import evidence_matrix, newest_time, seen_matrix
from recsvc.models import FitReport, FitRun, FittedModel, TrainingData
from recsvc.models.hybrid import HybridModel
from recsvc.refresh.options import model_values
from recsvc.settings import EventSettings, Settings
from recsvc.training.described import described_tables
from recsvc.training.fit import (
    Watch,
    assigned,
    fit_whole,
    model_options,
    most_epochs,
    needs_validation,
    training_data,
    unwatched,
    validation_split,
)
from recsvc.training.published import published_configuration
from recsvc.training.tuning import TuneOptions, default_trials, tune

HYBRID = "hybrid"

Protocol = Literal["validated", "published"]


RANKING_FORMS: Mapping[str, Callable[[pl.DataFrame, Path], None]] = {
    ".parquet": pl.DataFrame.write_parquet,
    ".csv": pl.DataFrame.write_csv,
    ".jsonl": pl.DataFrame.write_ndjson,
    ".json": pl.DataFrame.write_json,
}
"""What writes lists of items, by the suffix of the file."""


@dataclass(frozen=True, slots=True)
class TrialOptions:
    """How models are chosen and fitted.

    Attributes:
        protocol: `validated` searches options and epochs on a part of train; `published` takes
            the configuration that is shipped for the data set.
        trials: how many options are tried; None for the model's own number.
        seed: of splits and training.
        device: `cpu` or `cuda`.
        assignments: `name=value` or `model.name=value`; these options are not searched.
        hold_out: which part of train options and epochs are chosen on.
        published: another file of configurations than the one of this package.
        settings: say more of options, below the assignments.
    """

    protocol: Protocol = "validated"
    trials: int | None = None
    seed: int = 0
    device: str = "cpu"
    assignments: Sequence[str] = ()
    hold_out: HoldOut = "random"
    published: Path | None = None
    settings: Settings = field(default_factory=Settings.model_construct)


@dataclass(frozen=True, slots=True, eq=False)
class TrialData:
    """What is learned from, and what is to be found.

    Attributes:
        source: the training tables.
        learned_from: the same as arrays, with what each user did.
        asked: what each user did as the service reads it, what speaks against an item too,
            [users, items].
        available: whether each item may be recommended.
        seen: stored where a user did anything, also what speaks against an item.
        held_out: the answers, [users, items and more]: the items that only the test table names
            come last, and nothing is fitted on them or ranks them. Looked at once, at the end.
        users: rows of the users who have answers.
        counts: what of the test table is among the answers, and what is not.
        unknown_kinds: kinds of events of both tables that have no weight.
    """

    source: Tables
    learned_from: TrainingData
    asked: sp.csr_matrix
    available: Bool[NDArray[np.bool_], " items"]
    seen: sp.csr_matrix
    held_out: sp.csr_matrix
    users: Int64[NDArray[np.int64], " n"]
    counts: TestCounts
    unknown_kinds: Sequence[str]

    @property
    def graph(self) -> HeteroGraph:
        """The training tables as arrays."""
        return self.learned_from.graph

    @property
    def evidence(self) -> sp.csr_matrix:
        """What each user did with each item, [users, items]."""
        return self.learned_from.evidence


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """A model's recommendations for the users of the test table.

    Attributes:
        model: its name.
        ranking: the 50 best items of each user.
        details: what was decided, and how.
        parts: of a blend, the 20 best items of each user by each signal alone.
    """

    model: str
    ranking: Ranking
    details: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Ranking] = field(default_factory=dict[str, Ranking])


def read_trial(
    train_file: Path,
    test_file: Path,
    side: str | None,
    events: Mapping[str, EventSettings],
    properties: PropertyNames = NO_PROPERTIES,
    describing: Describing | None = None,
) -> TrialData:
    """Read the tables.

    Args:
        train_file: interactions to learn from.
        test_file: interactions to find.
        side: folder or named data set whose other tables (follows, categories) count too.
        events: settings by kind of event.
        properties: what models learn from besides.
        describing: encodes what nodes say of themselves, where a model asks for it.

    Raises:
        TableError: a table cannot be read, or nothing of test is to be found.
        TrainingError: nothing can be encoded.
    """
    train, test = (
        read_interactions(train_file, properties.interactions), read_interactions(test_file)
    )  # fmt: skip
    source = _with_interactions(train, side)
    graph = graph_from_tables(source, _refuse, properties)
    graph = described_tables(graph, source, describing)
    asked = evidence_matrix(graph, events, now=newest_time(graph), dislikes=True)
    tested = graph_from_tables(_with_interactions(test, None), _refuse)
    held_out, counts = held_out_pairs(graph, tested, events)
    users = np.flatnonzero(np.diff(held_out.indptr))
    unknown = unknown_kinds((*graph.interactions.events, *tested.interactions.events), events)
    return TrialData(
        source, training_data(graph, events), asked, _available(source, graph), seen_matrix(graph),
        held_out, users, counts, unknown,
    )  # fmt: skip


def read_training_data(
    train_file: Path,
    side: str | None,
    events: Mapping[str, EventSettings],
    properties: PropertyNames = NO_PROPERTIES,
    describing: Describing | None = None,
) -> TrainingData:
    """Read what is learned from, where nothing is measured on a test table.

    Raises:
        TableError: a table cannot be read.
        TrainingError: nothing can be encoded.
    """
    train = read_interactions(train_file, properties.interactions)
    source = _with_interactions(train, side)
    graph = described_tables(graph_from_tables(source, _refuse, properties), source, describing)
    return training_data(graph, events)


def rank_fitted(
    model: str, data: TrialData, options: TrialOptions, watch: Watch = unwatched
) -> Ranked:
    """Choose, fit and rank; nothing here looks at the answers.

    Raises:
        SettingsError: no such model, option or published configuration.
        TrainingError: the model cannot be fitted.
    """
    run = FitRun(options.seed, device=options.device)
    choose = _published if options.protocol == "published" else _validated
    fitted, report, details = choose(model, data.learned_from, options, run, watch)

    # The blend takes dislikes, as it does where it is served; models have only learned likes.
    asked = data.asked if model == HYBRID else data.evidence
    ranking = best_available(data, fitted.scores, asked)
    alone = fitted.alone() if isinstance(fitted, HybridModel) else {}
    parts = {name: best_available(data, part.scores, asked, K) for name, part in alone.items()}
    how = {"protocol": options.protocol, "epochs": report.epochs, **details}
    if report.weights is not None:
        how["weights"] = dict(report.weights)
    return Ranked(model, ranking, how, parts)


def best_available(
    data: TrialData, score: ScoreFunction, asked: sp.csr_matrix, k: int = max(CUTS)
) -> Ranking:
    """The best available items for the users of the test table."""

    def available(
        users: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        return np.where(data.available, score(users, evidence), np.float32(-np.inf))

    return top_k(available, asked, k=k, user_index=data.users, seen=data.seen)


def properties_of(models: Sequence[str], options: TrialOptions) -> PropertyNames:
    """The properties that some models learn from, by what is set for them.

    Raises:
        SettingsError: no such model or option.
    """
    given = (
        model_options(n, model_values(options.settings, n, assigned(n, options.assignments)))
        for n in models
    )
    return reduce(or_, (options.property_names for options in given), NO_PROPERTIES)


def _published(
    model: str, data: TrainingData, options: TrialOptions, run: FitRun, watch: Watch
) -> tuple[FittedModel, FitReport, dict[str, Any]]:
    published = published_configuration(model, data.graph, options.published)
    values = {**published.configuration.options, **assigned(model, options.assignments)}
    chosen = model_options(model, values)
    epochs = published.configuration.epochs
    run = replace(run, epochs=epochs, progress=watch("fit", epochs or most_epochs(chosen)))
    fitted, report = fit_whole(model, data, chosen, run)
    return fitted, report, {
        "options": chosen.model_dump(mode="json"),
        "data_set": published.data_set,
        "source": published.configuration.source,
        "fit_seconds": report.seconds,
    }  # fmt: skip


def _validated(
    model: str, data: TrainingData, options: TrialOptions, run: FitRun, watch: Watch
) -> tuple[FittedModel, FitReport, dict[str, Any]]:
    fixed = model_values(options.settings, model, assigned(model, options.assignments))
    chosen, epochs, details, started = model_options(model, fixed), None, {}, perf_counter()
    if needs_validation(model):
        split = validation_split(data, options.seed, options.hold_out)
        how = TuneOptions(options.trials or default_trials(model))
        tuning = tune(model, split, fixed, how, run, watch)
        if tuning.interrupted:
            raise KeyboardInterrupt
        chosen, epochs = tuning.options, tuning.best.epochs
        details = {"validation_ndcg@20": tuning.best.ndcg, "trials": len(tuning.trials)}
    progress = watch("fit on everything", epochs or most_epochs(chosen))
    run = replace(run, epochs=epochs, progress=progress)
    fitted, report = fit_whole(model, data, chosen, run)
    if report.interrupted:
        raise KeyboardInterrupt
    return fitted, report, {
        "options": chosen.model_dump(mode="json"), **details,
        "fit_seconds": perf_counter() - started,
    }  # fmt: skip


def write_rankings(ranked: Ranked, graph: HeteroGraph, file: Path) -> None:
    """Write the ranked items as rows: user_id, item_id, rank, score.

    Args:
        ranked: the lists.
        graph: whose users and items they are of.
        file: its suffix is in `RANKING_FORMS`.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(file) as part:
        RANKING_FORMS[file.suffix](_rankings_table(ranked, graph), part)


def _rankings_table(ranked: Ranked, graph: HeteroGraph) -> pl.DataFrame:
    ranking = ranked.ranking
    user, rank = np.nonzero(ranking.items >= 0)
    return pl.DataFrame(
        {
            "user_id": [graph.users[u] for u in ranking.user_index[user].tolist()],
            "item_id": [graph.items[i] for i in ranking.items[user, rank].tolist()],
            "rank": rank + 1,
            "score": ranking.scores[user, rank],
        }
    )


def _with_interactions(train: pl.DataFrame, side: str | None) -> Tables:
    """The training interactions, and the other tables of `side`."""
    frame = train.with_columns(pl.lit(None, pl.String).alias("event_id"))
    further = [name for name in frame.columns if name not in INTERACTIONS.names]
    frames = {INTERACTIONS: as_table(INTERACTIONS, frame.select(*INTERACTIONS.names, *further))}
    if side is not None:
        others = open_source(side, needed=())
        for spec in others.specs:
            if spec is not INTERACTIONS:
                frames[spec] = pl.concat(list(others.batches(spec, _refuse)))
    return FrameTables(frames)


def _available(source: Tables, graph: HeteroGraph) -> Bool[NDArray[np.bool_], " items"]:
    """Whether each item may be recommended: all but those whose last row says otherwise."""
    available = np.ones(len(graph.items), np.bool_)
    for batch in source.batches(ITEMS, _refuse) if ITEMS in source.specs else ():
        if "available" not in batch.columns:
            continue
        said = batch.select("item_id", "available").drop_nulls()
        available[graph.items.rows(said["item_id"].to_list())] = said["available"].to_numpy()
    return available


def _refuse(rejected: Rejected) -> None:
    raise TableError(f"{rejected}: correct it, or leave it out")
