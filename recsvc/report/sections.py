"""A report in words, tables and plots: the same for a terminal and for the page."""

from collections.abc import Iterable, Sequence

from recsvc.report._distribution import Distribution
from recsvc.report._figures import (
    Categories,
    Cold,
    Components,
    Degrees,
    EventKind,
    Events,
    Follows,
    ItemQuality,
    Named,
    Properties,
    Ranked,
    Report,
    Size,
    Times,
    Values,
)
from recsvc.report._parts import Bars, Lines, Plot, Section, Table, readable

_TICKS, _TICK_CHARACTERS = 10, 64
"""As many fit below a plot, and as many letters of all of them."""
_PLOTTED_EVENTS = 4
_MONTHS_NAMED = 24
"""Up to so many months each may be named on an axis; beyond, the years are."""


def sections(report: Report) -> tuple[Section, ...]:
    """The parts of the report, in the order in which they are read."""
    return (
        _size(report.size),
        Section("What deserves a look", tuple(report.notes) or ("Nothing was found.",)),
        _degrees(report.degrees),
        _events(report.events),
        _values(report.events),
        _times(report.times),
        _follows(report.follows),
        _categories(report.categories),
        _components(report.components),
        _cold(report.cold_users, report.cold_items),
        _properties(report.properties, report.item_quality),
    )


def _size(size: Size) -> Section:
    heading = "Size"
    if not size.labels:
        return Section(heading, ("The graph is empty.",))
    sentence = (
        f"{size.users:,} users, {size.items:,} items and {size.categories:,} categories. "
        f"{size.pairs:,} pairs of a user and an item have an interaction"
    )
    if size.density is not None:
        sentence += f", which is {100 * size.density:.3g}% of all pairs (the density)"
    return Section(
        heading,
        (f"{sentence}.",),
        tuple(
            Table(title, (column, "number"), [(readable(n.name), n.total) for n in named])
            for title, column, named in (
                ("Nodes by label", "label", size.labels),
                ("Relationships by type", "type", size.types),
            )
            if named
        ),
    )


def _degrees(degrees: Degrees) -> Section:
    heading = "Items per user, users per item"
    if not degrees.top_users or not degrees.items_per_user or not degrees.users_per_item:
        return Section(heading, ("No user has an interaction with an item.",))
    spread = (
        ("items per user", degrees.items_per_user), ("users per item", degrees.users_per_item),
    )  # fmt: skip
    return Section(
        heading,
        ("An item counts once for a user, whatever they did with it and however often.",),
        (
            _distributions("Degrees", spread),
            _ranked("Users with the most items", "user", "items", degrees.top_users),
            _ranked("Items with the most users", "item", "users", degrees.top_items),
        ),
        (
            _curves(
                "Degrees of users and items",
                "items of a user, or users of an item",
                "share that has at least so many",
                spread,
            ),
        ),
    )


def _events(events: Events) -> Section:
    heading = "Events"
    if not events.top:
        return Section(heading, ("The graph has no interactions.",))
    sentences = ["Events of one kind, of one user with one item, are one interaction."]
    if events.kinds > 1:
        sentences.append(
            "Pairs of a user and an item with events of several kinds: "
            f"{events.pairs_with_several:,}."
        )
    if events.kinds > len(events.top):
        sentences.append(
            f"There are {events.kinds:,} kinds of events; shown are the {len(events.top)} most "
            "frequent."
        )
    columns = (
        "event", "interactions", "%", "events counted", "total weight", "% with a time",
        "counts (settings)",
    )  # fmt: skip
    total = sum(kind.relationships for kind in events.top)
    rows = [
        (
            readable(k.name), k.relationships, _percent(k.relationships, total), k.events,
            k.weight, _percent(k.timed, k.relationships),
            "nothing: no weight" if k.setting is None else k.setting,
        )
        for k in events.top
    ]  # fmt: skip
    plots = (_events_plot(events.top),) if len(events.top) > 1 else ()
    table = Table("Interactions by kind of event", columns, rows)
    return Section(heading, tuple(sentences), (table,), plots)


def _events_plot(kinds: Sequence[EventKind]) -> Plot:
    return Bars(
        "Interactions by kind of event",
        f"The most frequent event is {readable(kinds[0].name)}, with "
        f"{kinds[0].relationships:,} interactions.",
        "event",
        "interactions",
        [kind.relationships for kind in kinds],
        [(float(at), _label(kind.name)) for at, kind in enumerate(kinds)],
        lying=True,
    )


def _values(events: Events) -> Section:
    heading = "Values"
    valued = [(kind.name, kind.values) for kind in events.top if kind.values]
    if not valued:
        return Section(heading, ("No interaction has a value, such as a rating.",))
    sentences = ["The value of an interaction is that of its newest event."]
    if len(valued) > _PLOTTED_EVENTS:
        sentences.append(f"Plotted are the {_PLOTTED_EVENTS} most frequent events with values.")
    rows = [(readable(name), v.total, v.lowest, v.mean, v.highest) for name, v in valued]
    columns = ("event", "values", "lowest", "mean", "highest")
    return Section(
        heading,
        tuple(sentences),
        (Table("Values by kind of event", columns, rows),),
        tuple(_values_plot(name, values) for name, values in valued[:_PLOTTED_EVENTS]),
    )


def _values_plot(name: str, values: Values) -> Plot:
    most = max(values.bins, key=lambda bin_: bin_.total)
    if values.scale == "exact":
        ticks = [(float(at), f"{bin_.low:.6g}") for at, bin_ in enumerate(values.bins)]
        x_label, commonest = "value", f"The most frequent value is {most.low:.6g}"
    else:
        edges = [*(bin_.low for bin_ in values.bins), values.highest]
        ticks = [(at - 0.5, _edge(edge)) for at, edge in enumerate(edges)]
        kind = "width" if values.scale == "linear" else "ratio"
        x_label = f"value, in {len(values.bins)} bins of one {kind}"
        commonest = f"The fullest bin is from {_edge(most.low)} to {_edge(most.high)}"
    return Bars(
        f"Values of the event {_label(name)}",
        f"{commonest}: {most.total:,} of {values.total:,}.",
        x_label,
        "interactions",
        [bin_.total for bin_ in values.bins],
        _thinned(ticks),
    )


def _edge(value: float) -> str:
    return f"{value:,.0f}" if 100.0 <= abs(value) < 1e6 else f"{value:.3g}"


def _times(times: Times) -> Section:
    heading = "Time"
    if times.first is None or times.last is None:
        return Section(heading, ("No interaction has a time.",))
    sentences = [f"The events are from {times.first} to {times.last}."]
    if times.without:
        share = _percent(times.without, times.without + times.timed)
        sentences.append(f"Interactions without a time: {times.without:,} ({share:.3g}%).")
    if times.implausible:
        sentences.append(
            f"Interactions with a time before 1970 or in the future: {times.implausible:,}; such "
            "times are not plotted."
        )
    return Section(heading, tuple(sentences), (), _times_plots(times))


def _times_plots(times: Times) -> tuple[Plot, ...]:
    if len(times.periods) < 2:
        return ()
    most = max(times.periods, key=lambda period: period.total)
    return (
        Bars(
            f"Interactions by {times.unit}",
            f"From {times.periods[0].name} to {times.periods[-1].name}; the most, "
            f"{most.total:,}, in {most.name}.",
            f"{times.unit} of the newest event (UTC)",
            f"interactions per {times.unit}",
            [period.total for period in times.periods],
            _period_ticks(times.periods),
        ),
    )


def _follows(follows: Follows) -> Section:
    heading = "Follows"
    if not follows.relationships or not follows.followers or not follows.followed:
        return Section(heading, ("Nobody follows anybody.",))
    spread = (("followers of a user", follows.followers), ("users followed", follows.followed))
    return Section(
        heading,
        (
            f"{follows.relationships:,} relationships, of which "
            f"{100 * (follows.reciprocity or 0.0):.3g}% go both ways (the reciprocity).",
        ),
        (_distributions("Followers and followed users", spread),),
        (
            _curves(
                "Followers and followed users", "users", "share of users with at least so many",
                spread,
            ),
        ),
    )  # fmt: skip


def _categories(categories: Categories) -> Section:
    heading = "Categories"
    per_category, per_item = categories.items_per_category, categories.categories_per_item
    if not per_category:
        return Section(heading, ("The graph has no categories.",))
    sentences = (
        f"Items in no category: {categories.items_without:,}. Categories that belong to another "
        f"one: {categories.with_parent:,}. Users who prefer a category: "
        f"{categories.preferring_users:,}.",
    )
    kinds = [(readable(k.kind) or "(none)", k.categories, k.links) for k in categories.kinds]
    by_kind = Table("Categories by kind", ("kind", "categories", "items in them"), kinds)
    if not categories.links or not per_item:
        return Section(heading, (*sentences, "No item is in a category."), (by_kind,))
    spread = (("items per category", per_category), ("categories per item", per_item))
    return Section(
        heading,
        sentences,
        (
            by_kind,
            _distributions("Items and categories", spread),
            _ranked(
                "Categories with the most items", "category", "items", categories.top, named="name"
            ),
        ),
        (
            _curves(
                "Items per category, categories per item",
                "items of a category, or categories of an item",
                "share that has at least so many",
                spread,
            ),
        ),
    )


def _components(components: Components) -> Section:
    heading = "Connected components"
    if not components.sizes:
        return Section(heading, ("No user has an interaction, so nothing is connected.",))
    nodes = round(components.sizes.mean * components.sizes.nodes)
    largest = components.largest[0].users + components.largest[0].items
    return Section(
        heading,
        (
            f"Users and items that interactions connect form {components.total:,} "
            f"{'component' if components.total == 1 else 'components'}; the largest holds "
            f"{_percent(largest, nodes):.4g}% of the users and items with interactions.",
        ),
        (
            _distributions(
                "Users and items per component", (("size", components.sizes),), "components"
            ),
            Table(
                "The largest components",
                ("rank", "users", "items"),
                [(rank, c.users, c.items) for rank, c in enumerate(components.largest, start=1)],
            ),
        ),
    )


def _cold(users: Cold, items: Cold) -> Section:
    columns = ("", "without interactions", "of these, reached another way", "with 1 to 4")
    return Section(
        "Cold users and items",
        (
            "A user without interactions is reached another way if they follow somebody who has "
            "some, or prefer a category with items. An item is, if one of its categories has an "
            "item with interactions, or is preferred by somebody.",
        ),
        (
            Table(
                "Cold users and items",
                columns,
                [
                    (name, cold.without, cold.reachable, cold.few)
                    for name, cold in (("users", users), ("items", items))
                ],
            ),
        ),
    )


def _properties(labels: Sequence[Properties], items: ItemQuality) -> Section:
    return Section(
        "Properties",
        (
            f"Items without a title: {items.without_title:,}; with a title that another item has "
            f"too: {items.sharing_title:,}; not available: {items.unavailable:,}.",
        ),
        tuple(
            Table(
                f"Properties of the {label.nodes:,} nodes labelled {label.label}",
                ("property", "nodes", "%"),
                [(readable(n.name), n.total, _percent(n.total, label.nodes)) for n in label.top],
            )
            for label in labels
            if label.top
        ),
    )


def _distributions(
    title: str, spread: Iterable[tuple[str, Distribution]], counted: str = "nodes"
) -> Table:
    columns = ("", counted, "min", "median", "mean", "p90", "p99", "max", "Gini")
    rows = [
        (name, d.nodes, d.lowest, d.median, d.mean, d.p90, d.p99, d.highest, d.gini)
        for name, d in spread
    ]
    return Table(title, columns, rows)


def _ranked(
    title: str, node: str, counted: str, top: Sequence[Ranked], *, named: str = "title"
) -> Table:
    if not any(node.title for node in top):
        return Table(title, (node, counted), [(readable(node.id), node.total) for node in top])
    rows = [(readable(node.id), readable(node.title), node.total) for node in top]
    return Table(title, (node, named, counted), rows)


def _curves(
    title: str, x_label: str, y_label: str, spread: Sequence[tuple[str, Distribution]]
) -> Plot:
    said = [f"{name}: median {d.median:,.4g}, at most {d.highest:,}" for name, d in spread]
    curves = [(name, d.curve) for name, d in spread]
    return Lines(title, f"{'; '.join(said)}.", x_label, y_label, curves, logarithmic=True)


def _period_ticks(periods: Sequence[Named]) -> list[tuple[float, str]]:
    ticks = [(float(at), period.name) for at, period in enumerate(periods)]
    if len(periods) > _MONTHS_NAMED:
        januaries = [(at - 0.5, name[:-3]) for at, name in ticks if name.endswith("-01")]
        ticks = januaries or ticks
    return _thinned(ticks)


def _thinned(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """As many ticks as fit beside each other, evenly spaced."""
    longest = max(len(text) for _, text in ticks)
    most = max(2, min(_TICKS, _TICK_CHARACTERS // (longest + 2)))
    return list(ticks[:: -(-len(ticks) // most)])


def _label(name: str) -> str:
    """A name as it fits beside a bar or over a plot."""
    text = readable(name)
    return text if len(text) <= 30 else f"{text[:29]}…"


def _percent(part: int, whole: int) -> float:
    return round(100.0 * part / whole, 2) if whole else 0.0
