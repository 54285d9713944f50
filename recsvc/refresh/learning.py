"""How a refresh makes the parts of its blend: in steps, which an interrupted run resumes.

What is learned from them is in `recsvc.blend.learn`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import scipy.sparse as sp

from loaders.types import HeteroGraph
from recsvc.blend.fit import Parts
from recsvc.blend.options import BlendOptions
from recsvc.blend.parts import Fitted, Tables
from recsvc.errors import RefreshError
from recsvc.models import MODELS, FitRun, ModelOptions, TrainingData, Validation
from recsvc.models._hybrid_options import HybridOptions
from recsvc.models._memory import available_bytes
from recsvc.models.base import FINE_TUNING_SHARE
from recsvc.models.parts import as_part
from recsvc.refresh.fine_tuning_state import FineTuningState, Start, digests_of
from recsvc.refresh.metapath_queries import Neo4jPaths
from recsvc.refresh.parts import Run
from recsvc.signals.metapath import evidence_ids, metapath_reads
from recsvc.signals.pagerank import PAGERANK
from recsvc.signals.rows import ROWS


def require_memory(run: Run, graph: HeteroGraph, evidence: sp.csr_matrix) -> None:
    """Refuse a graph whose blend cannot be held, before hours go into fits.

    Raises:
        RefreshError: there is not so much memory.
    """
    options, data = run.options, TrainingData(graph, evidence)
    blend = HybridOptions(**{name: getattr(options, name) for name in BlendOptions.model_fields})
    needed = MODELS["hybrid"].memory_bytes(data, blend)
    free = available_bytes("cpu")
    run.record.tell("memory that the fits take", bytes=needed, free=free)
    if needed > free:
        of_models = {n: MODELS[n].memory_bytes(data, blend.of_part(n)) for n in options.models}
        largest = max(of_models, key=of_models.__getitem__)
        raise RefreshError(
            f"a refresh of {evidence.shape[0]:,} users, {evidence.shape[1]:,} items and "
            f"{evidence.nnz:,} interactions would take about {needed / 2**30:,.2f} GiB, where "
            f"{free / 2**30:,.2f} GiB are free: lower row_size and kernel_size in [refresh], "
            f"leave {largest} out ({of_models[largest] / 2**30:,.2f} GiB), or take a machine with "
            "more memory"
        )


def resolved_options(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix
) -> dict[str, ModelOptions]:
    """The options of each model, what they leave open chosen once: both fits are to be alike.

    Without any evidence no model is fitted, and there are none; a model that learns from times is
    not fitted where there are none.
    """
    data = TrainingData(graph, evidence)

    def resolve(name: str) -> dict[str, Any]:
        spec = MODELS[name]
        given = spec.options_of(run.options.options.get(name, {}))
        with run.step(what := f"resolve {name}"):
            told = partial(run.told, what)
            return spec.resolved(data, given, run.options.seed, told).model_dump(mode="json")

    return {
        name: MODELS[name].options(**run.kept(f"resolve {name}", partial(resolve, name)))
        for name in (run.options.models if evidence.nnz else ())
        if MODELS[name].speaks(data)
    }


def parts_of(
    run: Run, graph: HeteroGraph, options: Mapping[str, ModelOptions], before: Start | None = None
) -> Parts:
    """The parts of the blend of a refresh.

    Args:
        run: the refresh; it keeps what its steps make.
        graph: nodes and relationships.
        options: of each model that takes part.
        before: what the refresh goes on from, if it does.
    """

    def fit(
        name: str,
        graph: HeteroGraph,
        evidence: sp.csr_matrix,
        purpose: str = "",
        *,
        held_out: sp.csr_matrix | None = None,
        epochs: int | None = None,
        start: Tables = (),
        share: float = 1.0,
    ) -> Fitted:
        validation = None if held_out is None else Validation(held_out)
        return fit_model(
            run, name, TrainingData(graph, evidence), options[name], purpose,
            validation=validation, epochs=epochs, start=before, tables=start, share=share,
        )  # fmt: skip

    able = tuple(name for name in run.options.models if name in options)
    blend = run.options.model_copy(update={"models": able})
    return Parts(blend, run.kinds(graph), fit, Neo4jPaths(run.gateway), run)


def fit_model(
    run: Run,
    name: str,
    data: TrainingData,
    options: ModelOptions,
    purpose: str = "",
    *,
    validation: Validation | None = None,
    epochs: int | None = None,
    start: Start | None = None,
    tables: Tables = (),
    share: float = 1.0,
) -> Fitted:
    """Fit one model, or take what an earlier attempt has fitted.

    Args:
        run: the refresh.
        name: of the model.
        data: what to learn from.
        options: of the model.
        purpose: what the fit is for, if not to be served.
        validation: chooses the number of epochs.
        epochs: their number, of a fit from scratch.
        start: what the refresh goes on from, if it does.
        tables: what this fit goes on from, where the refresh begins from scratch.
        share: of its training, how much there is then.

    Raises:
        TrainingError: it cannot be fitted, or is not linear in a user's items.
    """
    what = f"fit {name} {purpose}".rstrip()
    state = start.state if start else None

    most: int = epochs or getattr(options, "epochs", 0)  # of those that may stop early

    def fit() -> Fitted:
        with run.step(what):
            asked = FitRun(
                # Other walks than those that it has learned from already.
                run.options.seed + (state.in_a_row + 1 if state else bool(tables)),
                validation,
                run.options.device,
                epochs,
                lambda record: run.told(what, record.epoch, asked.fine_tuning_epochs(most)),
                partial(run.told, what),
                run.record.checkpoint(what),
                _first_tables(start, state, name, data) if start and state else tables,
                (0.0 if start and start.unchanged else FINE_TUNING_SHARE) if state else share,
            )
            model, report = MODELS[name].fit(data, options, asked)
            if report.interrupted:
                raise KeyboardInterrupt  # the model so far is no use: the others are not fitted
        return as_part(model, report, data.graph.items, run.options.kernel_size, run)

    return run.kept(what, fit)


def same_rows(start: Start, graph: HeteroGraph) -> Callable[[str], sp.csr_matrix | None]:
    """Gives the active version's rows of PageRank or a meta-path, where they would be the same.

    Args:
        start: what the refresh goes on from.
        graph: as it is now.
    """
    state, before = start.state, start.before
    if state is None or before is None:
        return lambda _name: None
    ids, now = evidence_ids(graph), digests_of(graph)
    signals = {signal.name: signal for signal in before.blend.signals}

    def same(name: str) -> bool:
        if name == PAGERANK:
            return start.unchanged
        reads = metapath_reads(name)
        return reads is not None and all(state.digests.get(type_) == now[type_] for type_ in reads)

    def rows(name: str) -> sp.csr_matrix | None:
        signal = signals.get(name)
        if signal is None or not same(name):
            return None
        items, own = before.items.rows(graph.items), ids[signal.kind]
        return signal.reindexed(own, signal.ids.rows(own), items).arrays().get(ROWS)

    return rows


def _first_tables(start: Start, state: FineTuningState, name: str, data: TrainingData) -> Tables:
    """What the fit of a model goes on from."""
    if start.unchanged:
        return tuple(state.tables.get(name, ()))
    return state.placed_tables(name, data.graph, data.evidence)
