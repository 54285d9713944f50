"""What `recsvc evaluate` found, as one JSON document or as tables."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from recsvc.commands import console
from recsvc.evaluation.groups import METRICS, ItemGroup, K, UserGroup
from recsvc.evaluation.held_out import TestCounts
from recsvc.evaluation.metrics import Estimate
from recsvc.training.experiment import Ranked
from recsvc.training.measure import Measured


def document(ranked: Sequence[Ranked], measured: Measured) -> dict[str, Any]:
    """All that was measured, by model where there are several."""
    documents = {one.model: _of_model(one.model, measured) | dict(one.details) for one in ranked}
    if len(ranked) == 1:
        return {"model": ranked[0].model, **documents[ranked[0].model]}
    difference = measured.difference
    return {
        "models": documents,
        **({} if difference is None else {"difference": _estimates(difference)}),
        "comparisons": [
            dataclasses.asdict(comparison) | {"significant": comparison.significant}
            for comparison in measured.comparisons
        ],
    }


def _of_model(model: str, measured: Measured) -> dict[str, Any]:
    evaluation = measured.evaluations[model]
    return {
        "users": len(evaluation.user_index),
        "metrics": _estimates(evaluation.estimates),
        "coverage": {str(k): share for k, share in evaluation.coverage.items()},
        "gini": {str(k): value for k, value in evaluation.gini.items()},
        **dataclasses.asdict(measured.groups[model]),
    }


def _estimates(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: dataclasses.asdict(estimate) for name, estimate in estimates.items()}


def print_measured(model: str, measured: Measured) -> None:
    """Tables of one model."""
    evaluation, groups = measured.evaluations[model], measured.groups[model]
    rows = [(name, f"{e.mean:.4f}", _interval(e)) for name, e in evaluation.estimates.items()]
    rows += [(f"coverage@{k}", f"{share:.4f}", "") for k, share in evaluation.coverage.items()]
    rows += [(f"gini@{k}", f"{value:.4f}", "") for k, value in evaluation.gini.items()]
    columns = ("metric", "mean", "95% interval")
    console.print_table(f"{model}: {len(evaluation.user_index):,} users", columns, rows)
    for metric in METRICS:
        title = f"{model}, {metric}"
        _print_user_groups(f"{title} by how many items are known", metric, groups.by_items_known)
        _print_user_groups(f"{title} of cold and warm users", metric, groups.cold_users)
    title = f"{model}, first {K} places"
    _print_item_groups(f"{title} by how many people have an item", groups.by_people)
    _print_item_groups(f"{title} of cold and warm items", groups.cold_items)


def _print_user_groups(title: str, metric: str, groups: Sequence[UserGroup]) -> None:
    rows = [
        (
            group.group, f"{group.users:,}",
            f"{group.model[metric].mean:.4f}", _interval(group.model[metric]),
            f"{group.popularity[metric].mean:.4f}",
            f"{group.difference[metric].mean:+.4f}", _interval(group.difference[metric], "+"),
            f"{group.best_part} {group.part[metric].mean:.4f}" if group.best_part else "",
        )
        for group in groups
    ]  # fmt: skip
    columns = ("known", "users", "mean", "95%", "popular", "difference", "95%", "best part")
    if not any(group.best_part for group in groups):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    console.print_table(title, columns, rows)


def _print_item_groups(title: str, groups: Sequence[ItemGroup]) -> None:
    rows = [
        (
            group.group, f"{group.items:,}", f"{group.pairs:,}",
            _share(group.model.recall), _share(group.popularity.recall),
            _share(group.model.places), _share(group.popularity.places),
        )
        for group in groups
    ]  # fmt: skip
    columns = (
        "people", "items", "to find", "found", "by popularity", "share of places", "of popularity",
    )  # fmt: skip
    console.print_table(title, columns, rows)


def _interval(estimate: Estimate, sign: str = "") -> str:
    return f"{estimate.low:{sign}.4f} to {estimate.high:{sign}.4f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def tested(counts: TestCounts) -> str:
    """What of the test table was to be found, and what was not."""
    sentence = f"of the test table {counts.to_find:,} pairs were to be found"
    if counts.unknown_items:
        sentence += (
            f", {counts.unknown_items:,} of them with items that train lacks, which are missed"
        )
    left_out = ", ".join(counts.left_out())
    return f"{sentence}; left out: {left_out}" if left_out else sentence
