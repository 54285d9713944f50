"""Models side by side: what `recsvc evaluate` shows on a terminal and as a page."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from recsvc.evaluation.groups import METRICS, ItemGroup, K, UserGroup
from recsvc.evaluation.metrics import CUTS, Estimate, Evaluation
from recsvc.evaluation.significance import LEVEL
from recsvc.report._parts import Cell, Intervals, Lines, Plot, Section, Table, readable
from recsvc.training.experiment import Ranked
from recsvc.training.measure import Groups, Measured

_POPULAR = "popular list"
_LABELS = {"ndcg": "NDCG", "hit_rate": "Hit rate", "mrr": "MRR", "map": "MAP", "mar": "MAR"}
_BEYOND = ("novelty", "diversity", "coverage", "gini")
_Point = tuple[float, float, float] | None


def comparison_sections(
    ranked: Sequence[Ranked], measured: Measured, tested: str
) -> tuple[Section, ...]:
    """The sections.

    Args:
        ranked: the models.
        measured: how good they are.
        tested: what of the test table was to be found, as a sentence.
    """
    groups = measured.groups
    return (
        _result(measured, tested),
        *([_differences(measured)] if measured.comparisons else []),
        _lengths(measured.evaluations),
        _users("By how many items are known of a user", groups, lambda g: g.by_items_known),
        _items("By how many people have an item", groups, lambda g: g.by_people),
        _cold(groups),
        _decided(ranked),
    )


def _result(measured: Measured, tested: str) -> Section:
    users = len(next(iter(measured.evaluations.values())).user_index)
    accuracy = [name for name in _metrics(measured.evaluations) if name not in _BEYOND]
    first = [metric.partition("@")[0] for metric in METRICS]
    accuracy = [*first, *(name for name in accuracy if name not in first)]
    sentences = (
        f"Means over {users:,} users, of the first {K} places; {tested}.",
        "Novelty is in bits. Diversity says how different the people of two items of a list are. "
        "Coverage is the share of all items that are in some list. Gini says how unequally the "
        "places are spread over items: 0 where all have the same.",
    )
    series = [
        (_label(metric), [astuple(e.estimates[metric]) for e in measured.evaluations.values()])
        for metric in METRICS
    ]
    best = max(measured.evaluations.items(), key=lambda item: item[1].estimates[METRICS[0]].mean)
    plot = Intervals(
        "Accuracy by model, with 95% intervals",
        f"{best[0]} has the highest {_label(METRICS[0])}, "
        f"{best[1].estimates[METRICS[0]].mean:.4f}. The numbers are in the tables.",
        "0 to 1", list(measured.evaluations), series,
    )  # fmt: skip
    tables = (
        _means(f"Accuracy of the first {K} places", measured.evaluations, accuracy),
        _means(f"The first {K} places beyond accuracy", measured.evaluations, _BEYOND),
    )
    return Section("Result", sentences, tables, (plot,))


def _means(title: str, evaluations: Mapping[str, Evaluation], names: Sequence[str]) -> Table:
    """A row for each model, a column for each metric."""
    rows: list[tuple[Cell, ...]] = [
        (model, *(round(_mean(evaluation, name, K), 4) for name in names))
        for model, evaluation in evaluations.items()
    ]
    return Table(title, ("model", *map(_label, names)), rows)


def _differences(measured: Measured) -> Section:
    sentences = (
        "By how much the first model is above the second, over the same users. The 95% interval "
        "is that of one comparison, by bootstrap. p is of a paired t-test over users, and "
        f"corrected by Holm for the {len(measured.comparisons)} comparisons of this table: where "
        "models are alike, the chance that any of them is called significant is at most "
        f"{LEVEL:.0%}.",
    )
    rows: list[tuple[Cell, ...]] = [
        (
            f"{pair.first} - {pair.second}", _label(pair.metric), *_ends(pair.difference),
            _chance(pair.p), _chance(pair.corrected), "yes" if pair.significant else "no",
        )
        for pair in measured.comparisons
    ]  # fmt: skip
    columns = ("models", "metric", "difference", "low", "high", "p", "p by Holm", "significant")
    tables = [Table("Differences", columns, rows)]
    if measured.difference is not None:
        rows = [(name, *_ends(estimate)) for name, estimate in measured.difference.items()]
        title = " - ".join(measured.evaluations)
        tables.append(Table(title, ("metric", "difference", "low", "high"), rows))
    return Section("Differences", sentences, tuple(tables))


def _lengths(evaluations: Mapping[str, Evaluation]) -> Section:
    names = [*_metrics(evaluations), "coverage", "gini"]
    rows: list[tuple[Cell, ...]] = [
        (f"{name}@{k}", *(_told(evaluation, name, k) for evaluation in evaluations.values()))
        for name in names
        for k in CUTS
    ]
    plots: list[Plot] = []
    for name in names:
        lines = [
            (model, [(k, _mean(evaluation, name, k)) for k in CUTS])
            for model, evaluation in evaluations.items()
        ]
        said = "; ".join(
            f"{model}: {points[0][1]:.4g} at {points[0][0]}, {points[-1][1]:.4g} at {points[-1][0]}"
            for model, points in lines
        )
        unit = "bits" if name == "novelty" else "0 to 1"
        title = f"{_label(name)} by length of the list"
        plots.append(Lines(title, said, "places", f"{_label(name)}, {unit}", lines))
    table = Table("Means with 95% intervals", ("metric", *evaluations), rows)
    return Section("By length of the list", (), (table,), tuple(plots))


def _users(
    heading: str, groups: Mapping[str, Groups], of: Callable[[Groups], Sequence[UserGroup]]
) -> Section:
    """Accuracy for groups of users, a column for each model."""
    by_group = list(zip(*(of(own) for own in groups.values()), strict=True))
    names = [of_models[0].group for of_models in by_group]
    tables: list[Table] = []
    plots: list[Plot] = []
    for metric in METRICS:
        rows: list[tuple[Cell, ...]] = [
            (
                of_models[0].group, of_models[0].users,
                *(round(own.model[metric].mean, 4) for own in of_models),
                round(of_models[0].popularity[metric].mean, 4),
            )
            for of_models in by_group
        ]  # fmt: skip
        title = f"{_label(metric)} {heading[0].lower()}{heading[1:]}"
        tables.append(Table(title, ("items known", "users", *groups, _POPULAR), rows))
        lists = [astuple(of_models[0].popularity[metric]) for of_models in by_group]
        series: list[tuple[str, Sequence[_Point]]] = [
            (model, [astuple(of_models[at].model[metric]) for of_models in by_group])
            for at, model in enumerate(groups)
        ]
        series.append((_POPULAR, lists))
        plots.append(_plot(title, f"{_label(metric)}, 0 to 1", names, series))
    return Section(heading, (), tuple(tables), tuple(plots))


def _items(
    heading: str, groups: Mapping[str, Groups], of: Callable[[Groups], Sequence[ItemGroup]]
) -> Section:
    """How groups of items fare, a column for each model."""
    by_group = list(zip(*(of(own) for own in groups.values()), strict=True))
    tables: list[Table] = []
    plots: list[Plot] = []
    for what, said in (
        ("recall", f"Share of the pairs to find that the first {K} places hold"),
        ("places", f"Share of the first {K} places"),
    ):
        rows: list[tuple[Cell, ...]] = [
            (
                of_models[0].group, of_models[0].items, of_models[0].pairs,
                *(_rounded(getattr(own.model, what)) for own in of_models),
                _rounded(getattr(of_models[0].popularity, what)),
            )
            for of_models in by_group
        ]  # fmt: skip
        title = f"{said}, {heading[0].lower()}{heading[1:]}"
        columns = ("people", "items", "to find", *groups, _POPULAR)
        tables.append(Table(title, columns, rows))
        series: list[tuple[str, Sequence[_Point]]] = [
            (model, [_point(getattr(of_models[at].model, what)) for of_models in by_group])
            for at, model in enumerate(groups)
        ]
        lists = [_point(getattr(of_models[0].popularity, what)) for of_models in by_group]
        series.append((_POPULAR, lists))
        plots.append(
            _plot(title, "share, 0 to 1", [of_models[0].group for of_models in by_group], series)
        )
    return Section(heading, (), tuple(tables), tuple(plots))


def _cold(groups: Mapping[str, Groups]) -> Section:
    users = _users("Of cold and warm users", groups, lambda g: g.cold_users)
    items = _items("Of cold and warm items", groups, lambda g: g.cold_items)
    sentences = (
        "A user is cold if fewer than 5 items are known of them, an item if fewer than 5 people "
        "have it.",
    )
    tables, plots = (*users.tables, *items.tables), (*users.plots, *items.plots)
    return Section("Cold and warm", sentences, tables, plots)


def _plot(
    title: str, label: str, names: Sequence[str], series: Sequence[tuple[str, Sequence[_Point]]]
) -> Intervals:
    said = "; ".join(f"{name}: {_course(names, points)}" for name, points in series)
    return Intervals(title, said, label, names, series)


def _course(names: Sequence[str], points: Iterable[_Point]) -> str:
    told = [(name, point[0]) for name, point in zip(names, points, strict=True) if point]
    return ", ".join(f"{value:.4f} at {name}" for name, value in told)


def _decided(ranked: Sequence[Ranked]) -> Section:
    """What each model was fitted with."""
    sentences = ("Each model was fitted once on all of train, and ranked once.",)
    tables = tuple(_details_table(one) for one in ranked)
    return Section("How they were fitted", sentences, tables)


def _details_table(one: Ranked) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, readable(_text(value)))
        for key, details in one.details.items()
        for name, value in (
            details.items() if isinstance(details, Mapping) else [(key, details)]
        )
    ]  # fmt: skip
    return Table(one.model, ("", "value"), rows)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _metrics(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """The metrics that have a value for each user, without their k."""
    names = next(iter(evaluations.values())).estimates
    return list(dict.fromkeys(name.partition("@")[0] for name in names))


def _mean(evaluation: Evaluation, name: str, k: int) -> float:
    if name in ("coverage", "gini"):
        return (evaluation.coverage if name == "coverage" else evaluation.gini)[k]
    return evaluation.estimates[f"{name}@{k}"].mean


def _told(evaluation: Evaluation, name: str, k: int) -> str:
    estimate = evaluation.estimates.get(f"{name}@{k}")
    if estimate is None:
        return f"{_mean(evaluation, name, k):.4f}"
    return f"{estimate.mean:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"


def _label(metric: str) -> str:
    name, at, k = metric.partition("@")
    return f"{_LABELS.get(name, name.capitalize())}{at}{k}"


def _ends(estimate: Estimate) -> tuple[Cell, ...]:
    return tuple(round(value, 4) for value in astuple(estimate))


def _chance(p: float) -> str:
    return "below 0.0001" if p < 1e-4 else f"{p:.4f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _point(value: float | None) -> _Point:
    """A share without an interval."""
    return None if value is None else (value, value, value)
