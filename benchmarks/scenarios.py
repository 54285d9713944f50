"""What a scenario of five filters and rules costs in process, with an experiment that chose it.

    python -m benchmarks.scenarios

It needs no Neo4j: what the graph says of an item is made up and costs nothing. Lists of 10 items
without either and with both are made in turns, each with its `recommendation_id`, and the medians
of processor time are printed with their difference.
"""

import time
from datetime import UTC, datetime
from statistics import median

import numpy as np
import scipy.sparse as sp

from loaders.types import IdMap
from recsvc.blend.blend import Blend
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.experiments.document import Experiment, Variant
from recsvc.graph.experiment_store import StoredExperiment
from recsvc.graph.rows import LiveItem
from recsvc.outcomes.recommendation_id import Origin, RecommendationIds
from recsvc.recommend.experiments import KnownExperiment, Trials
from recsvc.recommend.query import Asker, RecommendationQuery
from recsvc.recommend.ranked_list import Listing
from recsvc.recommend.ruled_list import RuledListing
from recsvc.scenarios.document import Scenario
from recsvc.scenarios.plan import Plan, plan_of
from recsvc.signals import EmbeddingSignal
from recsvc.snapshot.arrays import Snapshot

N_ITEMS = 17_632
TIMES = 300
DOCUMENT = {
    "filters": [{"property": "price", "range": {"max": 8}}],
    "rules": [
        {"kind": "boost", "where": [{"property": "brand", "equals": "b1"}], "amount": 0.1},
        {"kind": "pin", "item_id": "i00007", "place": 3},
        {"kind": "at_most", "count": 2, "same": {"property": "brand"}, "within": 10},
        {"kind": "at_least", "count": 1, "within": 10,
         "where": [{"property": "brand", "equals": "b3"}]},
    ],
}  # fmt: skip


def made_snapshot() -> Snapshot:
    """Items with two signals of 64 numbers."""
    rng = np.random.default_rng(1)
    items = IdMap([f"i{n:05}" for n in range(N_ITEMS)])
    vectors = rng.normal(size=(2, N_ITEMS, 64)).astype(np.float32)
    signals = tuple(
        EmbeddingSignal(name, items, each, each)
        for name, each in zip(("lightgcn", "node2vec"), vectors, strict=True)
    )
    blend = Blend(signals, (0.8, 0.3), rng.random(N_ITEMS).astype(np.float32), 0.1)
    none = IdMap([])
    return Snapshot(
        {}, items, none, none, np.zeros(0, np.int64), np.ones(N_ITEMS, np.int64), ("",) * N_ITEMS,
        np.ones(N_ITEMS, bool), sp.csr_matrix(np.zeros((N_ITEMS, 0), bool)), blend,
    )  # fmt: skip


def told(row: int, plan: Plan) -> LiveItem:
    """What the graph says of an item."""
    brand = row % 40
    met = tuple(
        row % 10 <= 8 if each.range is not None else f"b{brand}" == each.equals
        for each in plan.conditions
    )
    return LiveItem(None, True, False, met, ((f"b{brand}",),) * len(plan.groups), ())


def made_trials() -> Trials:
    """An experiment whose variants are both made under the scenario."""
    variants = [Variant(name=name, share=0.5, scenario="front") for name in ("a", "b")]
    document = Experiment(variants=variants)
    stored = StoredExperiment("blend", 1, None, None, None, None)
    return Trials({"blend": KnownExperiment(stored, document, document.assignment("blend"))})


def main() -> None:
    """Print the medians."""
    snapshot = made_snapshot()
    nodes = tuple(EvidenceNode("item", f"i{n:05}", 1.0) for n in range(50))
    asker, query = Asker("u", Evidence(nodes)), RecommendationQuery()
    scenario = Scenario.model_validate(DOCUMENT)
    depth, ids, trials = [0], RecommendationIds(), made_trials()
    items = [told(row, plan_of(scenario, datetime.now(UTC))) for row in range(N_ITEMS)]

    def plain() -> None:
        listing = Listing(snapshot, asker, query)
        rows = listing.assume()
        listing.exact()
        listing.settle(rows, [items[row] for row in rows.tolist()])
        ids.issue(ids.contents(Origin(3, "u"), snapshot.items[:10]))

    def ruled() -> None:
        asked = trials.under("u", query)
        assert asked.variant is not None
        used = asked.variant
        plan = plan_of(scenario, datetime.now(UTC), depth=depth)
        listing = RuledListing(snapshot, asker, asked.under(scenario), None, plan)
        while len(rows := listing.unsure()):
            listing.settle(rows, [items[row] for row in rows.tolist()])
        listing.exact()
        listing.notes()
        of = Origin(3, "u", "front", 4, used.experiment, used.revision, used.name)
        ids.issue(ids.contents(of, snapshot.items[:10]))

    spent_by: tuple[list[float], list[float]] = ([], [])
    for _ in range(TIMES):
        for make, spent in zip((plain, ruled), spent_by, strict=True):
            began = time.process_time()
            make()
            spent.append((time.process_time() - began) * 1000)
    without, under = (median(spent[10:]) for spent in spent_by)
    print(f"without: {without:.3f} ms, under an experiment and its scenario: {under:.3f} ms")
    print(f"more: {under - without:.3f} ms, {under / without:.2f} times")


if __name__ == "__main__":
    main()
