"""`recsvc evaluate`: fit on one table, rank all items, compare with another table, once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse as sp

from loaders.datasets import open_source
from loaders.errors import TableError
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import scratch_neo4j
from loaders.tables import (
    INTERACTIONS,
    FrameTables,
    Rejected,
    Tables,
    as_table,
    graph_from_tables,
    read_interactions,
)
from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc import snapshot as snapshots
from recsvc.batch import batch_evidence, recommend_all
from recsvc.evaluation import CUTS, Evaluation, Ranking, evaluate, top_k
from recsvc.evidence import evidence_matrix
from recsvc.models import Progress, TrainingData
from recsvc.models.base import silent
from recsvc.refresh import RefreshOptions, refresh
from recsvc.settings import EventSettings
from recsvc.store import Store
from recsvc.training import fit_validated, model_options

HYBRID = "hybrid"


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A model's recommendations for the users of the test table, and how good they are.

    Attributes:
        model: its name.
        graph: ids behind the rows.
        ranking: the 50 best items of each user.
        evaluation: metrics with intervals.
        seconds: time of each part.
        details: what was decided on validation: epochs, or λ.
    """

    model: str
    graph: HeteroGraph
    ranking: Ranking
    evaluation: Evaluation
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class TrialOptions:
    """What `recsvc evaluate` takes besides the model.

    Attributes:
        train: interactions to learn from.
        test: interactions to find; looked at once, at the end.
        side: folder or named data set whose other tables (follows, categories) count too.
        seed: of splits and training.
        device: `cpu` or `cuda`.
        assignments: `name=value` options of the model.
    """

    train: Path
    test: Path
    side: str | None = None
    seed: int = 0
    device: str = "cpu"
    assignments: Sequence[str] = ()


def run_trial(
    model: str,
    options: TrialOptions,
    events: Mapping[str, EventSettings],
    *,
    home: Path,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda _message: None,
) -> Trial:
    """Fit, rank and measure.

    The blend is fitted the way it is served: the tables are ingested into an empty Neo4j of its
    own, and refreshed there.

    Raises:
        TableError: a table cannot be read.
        SettingsError: no such model or option.
        TrainingError: the model cannot be fitted.
        Neo4jError: the scratch Neo4j cannot be started.
    """
    train, test = read_interactions(options.train), read_interactions(options.test)
    source = _with_interactions(train, options.side)
    graph = _with_items(graph_from_tables(source, _refuse), test["item_id"].unique().to_list())
    evidence = evidence_matrix(graph, events, now=_latest(train))
    held_out = _held_out(test, graph)
    users = np.flatnonzero(np.diff(held_out.indptr))
    if model == HYBRID:
        ranking, details = _hybrid_ranking(source, graph, users, options, events, home, say)
    else:
        chosen = model_options(model, options.assignments)
        fitted, report, tried = fit_validated(
            model, TrainingData(graph, evidence), chosen, seed=options.seed,
            device=options.device, progress=progress,
        )  # fmt: skip
        ranking = top_k(fitted.scores, evidence, user_index=users)
        details = {
            "options": chosen.model_dump(mode="json"),
            "epochs": report.epochs,
            "validation_ndcg@20": tried.metric,
            "fit_seconds": tried.seconds + report.seconds,
        }
    return Trial(model, graph, ranking, evaluate(ranking, held_out, evidence), details)


def recommendations_table(trial: Trial) -> pl.DataFrame:
    """The ranked items as rows: user_id, item_id, rank, score."""
    ranking, graph = trial.ranking, trial.graph
    user, rank = np.nonzero(ranking.items >= 0)
    return pl.DataFrame(
        {
            "user_id": [graph.users[u] for u in ranking.user_index[user].tolist()],
            "item_id": [graph.items[i] for i in ranking.items[user, rank].tolist()],
            "rank": rank + 1,
            "score": ranking.scores[user, rank],
        }
    )


def _hybrid_ranking(
    source: Tables,
    graph: HeteroGraph,
    users: np.ndarray[tuple[int], np.dtype[np.int64]],
    options: TrialOptions,
    events: Mapping[str, EventSettings],
    home: Path,
    say: Callable[[str], None],
) -> tuple[Ranking, dict[str, object]]:
    import asyncio
    import tempfile

    values = dict(assignment.split("=", 1) for assignment in options.assignments)
    chosen = RefreshOptions.model_validate(
        {**values, "seed": options.seed, "device": options.device}
    )
    with tempfile.TemporaryDirectory() as folder, scratch_neo4j(home, say) as address:
        with Neo4jGateway(address) as gateway:
            say("ingesting the training tables")
            ingest(gateway, source, rejects=Path(folder) / "rejects.csv", strict=True)
            say("refreshing")
            report = refresh(gateway, chosen, events)

        async def read() -> bytes:
            store = Store(address, timeout_seconds=60.0)
            await store.open()
            try:
                return await store.snapshot_content(report.versions[HYBRID])
            finally:
                await store.close()

        content = asyncio.run(read())
        unpacked = Path(folder) / "snapshot"
        snapshots.unpack(content, report.sha256, unpacked)
        snapshot = snapshots.load(unpacked)
        evidence = batch_evidence(graph, snapshot, events)
        lists = recommend_all(
            snapshot, evidence, [graph.users[u] for u in users.tolist()], max(CUTS)
        )
        items = np.full((len(users), max(CUTS)), -1, np.int64)
        scores = np.full((len(users), max(CUTS)), -np.inf, np.float32)
        ours = graph.items.rows(list(snapshot.items))
        for row, best in enumerate(lists):
            items[row, : len(best.items)] = ours[best.items]
            scores[row, : len(best.items)] = best.scores
    validation = {name: found["ndcg@20"].mean for name, found in report.metrics.items()}
    details: dict[str, object] = {
        "weights": dict(report.weights),
        "validation_ndcg@20": validation,
        "seconds": dict(report.seconds),
    }
    return Ranking(users, items, scores), details


def _with_interactions(train: pl.DataFrame, side: str | None) -> Tables:
    """The training interactions, and the other tables of `side`."""
    frame = train.with_columns(pl.lit(None, pl.String).alias("event_id"))
    frames = {INTERACTIONS: as_table(INTERACTIONS, frame.select(INTERACTIONS.names))}
    if side is not None:
        others = open_source(side)
        for spec in others.specs:
            if spec is not INTERACTIONS:
                frames[spec] = pl.concat(list(others.batches(spec, _refuse)))
    return FrameTables(frames)


def _refuse(rejected: Rejected) -> None:
    raise TableError(f"{rejected}: correct it, or leave it out")


def _with_items(graph: HeteroGraph, item_ids: Sequence[str]) -> HeteroGraph:
    """The graph with the items that only the test table names; they count as missed."""
    items = IdMap.from_unsorted([*graph.items, *item_ids])
    if len(items) == len(graph.items):
        return graph
    row = items.rows(list(graph.items))
    did = graph.interactions
    categories = graph.in_category
    return HeteroGraph(
        graph.users, items, graph.categories,
        Interactions(
            did.user_index, row[did.item_index], did.event_index, did.weight, did.last_at,
            did.events,
        ),
        graph.follows, graph.prefers,
        type(categories)(row[categories.source], categories.target, categories.weight),
        graph.subcategory_of,
    )  # fmt: skip


def _held_out(test: pl.DataFrame, graph: HeteroGraph) -> sp.csr_matrix:
    user = graph.users.rows(test["user_id"].to_list())
    item = graph.items.rows(test["item_id"].to_list())
    known = user >= 0
    if not known.any():
        raise TableError("no user of the test table is in the training table: nothing to evaluate")
    matrix = sp.csr_matrix(
        (np.ones(int(known.sum()), np.float32), (user[known], item[known])),
        shape=(len(graph.users), len(graph.items)),
    )
    matrix.data[:] = 1.0
    return matrix


def _latest(train: pl.DataFrame) -> float:
    """The time of the newest training interaction: half-lives count from there."""
    newest = train["timestamp"].max()
    return newest.timestamp() if newest is not None else 0.0  # pyright: ignore
