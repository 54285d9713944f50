"""`recsvc evaluate hybrid --as-served`: the blend as it is served, from a Neo4j of its own."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from loaders.gateway import Gateway, Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import scratch_server
from loaders.parts import stored_parts
from recsvc.evaluation.groups import K
from recsvc.evaluation.metrics import CUTS, Ranking
from recsvc.recommend.batch import BatchEvidence, batch_evidence, recommend_all
from recsvc.refresh.options import RefreshOptions, refresh_options
from recsvc.refresh.pipeline import refresh
from recsvc.refresh.run_manifest import RunManifest
from recsvc.settings import EventSettings
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot import folders
from recsvc.snapshot.arrays import Snapshot
from recsvc.training.experiment import HYBRID, Ranked, TrialData, TrialOptions
from recsvc.training.fit import assigned


def rank_as_served(
    data: TrialData,
    options: TrialOptions,
    events: Mapping[str, EventSettings],
    *,
    home: Path,
    say: Callable[[str], None],
) -> Ranked:
    """Ingest the training tables into an empty Neo4j, refresh there, and rank as the service does.

    Raises:
        SettingsError: an option is none of a refresh.
        TrainingError: a model cannot be fitted.
        Neo4jError: the scratch Neo4j cannot be started.
    """
    chosen = options_as_served(options)
    with (
        tempfile.TemporaryDirectory() as folder,
        scratch_server(home, say) as server,
        Neo4jGateway(server.address()) as gateway,
    ):
        return rank_by_refresh(gateway, data, chosen, events, folder=Path(folder), say=say)


def options_as_served(options: TrialOptions) -> RefreshOptions:
    """The options of the refresh that gives what `hybrid` gives with these.

    Raises:
        SettingsError: an option is none of a refresh.
    """
    given = assigned(HYBRID, options.assignments)
    own = {"seed": options.seed, "device": options.device}
    return refresh_options(options.settings, {**given, **own})


def rank_by_refresh(
    gateway: Gateway,
    data: TrialData,
    options: RefreshOptions,
    events: Mapping[str, EventSettings],
    *,
    folder: Path,
    say: Callable[[str], None],
) -> Ranked:
    """The same in a Neo4j that is given, which is empty.

    Args:
        gateway: the graph.
        data: the training tables, and for whom to rank.
        options: of the refresh.
        events: settings by kind of event.
        folder: where the refresh has its run, and the arrays are unpacked.
        say: told what is done.

    Raises:
        TrainingError: a model cannot be fitted.
        Neo4jError: the graph cannot be read or written.
    """
    say("ingesting the training tables")
    ingest(gateway, data.source, rejects=folder / "rejects.csv", strict=True)
    say("refreshing")
    run = refresh(gateway, options, events, home=folder)
    unpacked = folder / "snapshot"
    version = (run.versions or {})[HYBRID]
    folders.unpack(stored_parts(gateway, version), run.sha256, unpacked)
    snapshot = snapshots.load(unpacked)
    evidence = batch_evidence(data.graph, snapshot, events)
    parts = {
        name: _rank(replace(snapshot, blend=alone), evidence, data, K)
        for name, alone in snapshot.blend.alone().items()
    }
    return Ranked(HYBRID, _rank(snapshot, evidence, data, max(CUTS)), _details(run), parts)


def _rank(snapshot: Snapshot, evidence: BatchEvidence, data: TrialData, k: int) -> Ranking:
    """The lists of the service, with the rows of this graph."""
    user_ids = [data.graph.users[user] for user in data.users.tolist()]
    items = np.full((len(user_ids), k), -1, np.int64)
    scores = np.full((len(user_ids), k), -np.inf, np.float32)
    ours = data.graph.items.rows(list(snapshot.items))
    for row, best in enumerate(recommend_all(snapshot, evidence, user_ids, k)):
        items[row, : len(best.items)] = ours[best.items]
        scores[row, : len(best.items)] = best.scores
    return Ranking(data.users, items, scores)


def _details(run: RunManifest) -> dict[str, object]:
    metrics = run.metrics or {}
    return {
        "weights": run.weights,
        "validation_ndcg@20": {
            name: estimates["ndcg@20"].mean for name, estimates in metrics.items()
        },
        "seconds": run.seconds,
    }
