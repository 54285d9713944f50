"""What is written into the graph of somebody else: statements in its names, and what is refused.

They take the parameters and return the columns of the files under `cypher/` that they stand for.
A refusal says why, and what its owner or the caller can do.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loaders.errors import ForeignGraphError
from loaders.graph_map import PREFIX, GraphMap, PathMap, quoted, settable
from loaders.mapped._names import as_text, number_of
from loaders.mapped._writable import (
    NUMBER_AS,
    TIME_AS,
    Kind,
    Step,
    refusal,
    sampled_kind,
    step_of,
    step_or_none,
    time_sampled,
    whole_sampled,
)

Rows = Sequence[Mapping[str, Any]]


class Writes:
    """The statements that write into one graph."""

    def __init__(self, graph: GraphMap) -> None:
        self._graph = graph
        categories = graph.category
        self._kinds = {
            "user": [Kind("user", graph.user)],
            "item": [Kind("item", graph.item)],
            "category": [
                Kind("category", node, f"{kind}:" if len(categories) > 1 else "")
                for kind, node in categories.items()
            ],
        }
        self._texts: dict[str, Callable[[], str]] = {
            "ingest/events": self._events,
            "write/nodes": self._nodes,
            "write/follows": self._follows,
            **{f"write/put_{kind}": lambda kind=kind: self._put(kind) for kind in self._kinds},
        }

    def text(self, name: str) -> str | None:
        """The statement that stands for a query; None where the file of it serves."""
        return self._texts[name]() if name in self._texts else None

    # What is refused.

    def check(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Go on only if the mapping says how to write what a query is given.

        Raises:
            ForeignGraphError: it does not; the message says why, and what to do.
        """
        rows: Rows = parameters.get("rows", ())
        if name == "write/nodes":
            for row in parameters["categories"]:
                self._kind_of_category(row["id"])
        elif name == "ingest/events" and rows:
            self._check_events(rows)
        elif name == "write/follows" and rows:
            (step,) = self._one(self._graph.follows, "follows")
            if not step.time and any(row["since"] is not None for row in rows):
                raise refusal("since", "[[graph.follows]] names no timestamp for it")
        for kind in self._kinds:
            if name == f"write/put_{kind}":
                self._check_puts(kind, rows)
            elif name == f"delete/delete_{kind}":
                self._check_deletion(kind)

    def _check_events(self, rows: Rows) -> None:
        events = {path.event: path for path in self._graph.interactions if not path.event_property}
        others = [path for path in self._graph.interactions if path.event_property]
        for event in {row["event"] for row in rows}:
            path = events.get(event) or next(iter(others), None)
            if path is None:
                raise refusal(
                    f"an event {event!r}",
                    f"[[graph.interactions]] has {', '.join(map(repr, sorted(events)))}",
                )
            step = step_of(path)
            if not step.value and any(
                row["value"] is not None for row in rows if row["event"] == event
            ):
                raise refusal(
                    f"a value of {event!r}", "its path names no property for it: leave it out"
                )

    def _check_puts(self, kind: str, rows: Rows) -> None:
        for row in rows:
            links, properties = row["links"], row["properties"]
            if links and kind == "item":
                if len(self._kinds["category"]) != 1:
                    raise refusal("categories of an item", "there are several kinds of them")
                (step,) = self._one(self._graph.item_categories, "item_categories")
                if not step.value and any(link["weight"] != 1 for link in links):
                    raise refusal("the weight of a category", "its path names no value for it")
            elif links:
                raise refusal("preferences and parents", "[graph] has nothing for them")
            if kind == "category" and properties.get("kind") is not None:
                name = next(k for k, v in self._graph.category.items()
                            if v is self._kind_of_category(row["id"]).node)  # fmt: skip
                if properties["kind"] != name:
                    raise refusal(f"the kind {properties['kind']!r}", f"it is {name!r}")
            if kind == "item" and properties.get("available") is not None:
                self._available(available=properties["available"])

    def _check_deletion(self, kind: str) -> None:
        graph = self._graph
        paths = {
            "user": (*graph.interactions, *graph.follows),
            "item": (*graph.interactions, *graph.item_categories),
            "category": graph.item_categories,
        }[kind]
        for path in paths:
            if len(path.hops[1]) > 1:
                raise refusal(
                    f"to delete a {kind}",
                    f"what lies between on {path.path} would be left: delete it as its owner does",
                )

    def _kind_of_category(self, ours: str) -> Kind:
        for kind in self._kinds["category"]:
            if ours.startswith(kind.before):
                return kind
        kinds = ", ".join(repr(kind.before) for kind in self._kinds["category"])
        why = f"expected an id that begins with one of {kinds}" if kinds else "[graph] has none"
        raise refusal(f"the category {ours!r}", why)

    def _one(self, paths: Sequence[PathMap], name: str) -> list[Step]:
        if len(paths) != 1:
            raise refusal(name, f"[graph] has {len(paths)} paths for {name}: one can be written")
        return [step_of(paths[0])]

    def _available(self, *, available: bool) -> tuple[str, str] | None:
        """The property that says it, and its value as text; None where there is none."""
        condition = self._graph.item.available
        literals = settable(condition, "item") if condition else {}
        if literals is not None and len(literals) == 1:
            ((name, value),) = literals.items()
            if value in ("true", "false"):
                return name, str((value == "true") == available).lower()
            if available:
                return name, value
        elif not condition and available:
            return None
        raise refusal(
            f"available: {str(available).lower()}",
            f"[graph.item] has available = {condition!r}"
            if condition
            else "[graph.item] has no `available`",
        )

    # Statements.

    def _nodes(self) -> str:
        parts = [
            self._nodes_of(kind, rows)
            for name, rows in (("user", "users"), ("item", "items"), ("category", "categories"))
            for kind in self._kinds[name]
        ]
        union = "\nUNION ALL\n".join(parts)
        return f"CALL () {{\n{union}\n}}\nRETURN kind, id, made, refused"

    def _nodes_of(self, kind: Kind, rows: str) -> str:
        settings = kind.settings
        able = "true" if settings is not None else "false"
        own = kind.id_of("row.id")
        put = "".join(f" SET new.{name} = {value}" for name, value in (settings or {}).items())
        why = f"a node with this id is there, and is no {kind.name} by `where`"
        cannot = (
            f"`where` of its label cannot be set on a new {kind.name}: make it as its owner does"
        )
        whole = sampled_kind(f"(n:{kind.label})", f"n.{kind.key}", "{0} IS :: INTEGER NOT NULL")
        return (
            f"  WITH {whole} AS sampled\n"
            f"  UNWIND ${rows} AS row\n"
            f"  WITH sampled, row WHERE {kind.is_one('row.id')}\n"
            f"  WITH coalesce(sampled, false) AS whole, row, {own} AS id,\n"
            f"    {number_of(own)} AS number\n"
            f"  CALL (id, number) {{\n"
            f"    OPTIONAL MATCH (n:{kind.label}) WHERE n.{kind.key} IN [id, number]\n"
            f"    RETURN count(n) > 0 AS known, coalesce(any(met IN collect({kind.met('n')}) "
            f"WHERE met), false) AS counts\n"
            f"  }}\n"
            f"  WITH row, id, number, whole, known, counts, NOT known AND row.make AND {able} AND "
            f"(number IS NOT NULL OR NOT whole) AS makes\n"
            f"  FOREACH (_ IN CASE WHEN makes THEN [1] ELSE [] END |\n"
            f"    MERGE (new:{kind.label} {{{kind.key}: CASE WHEN whole THEN number ELSE id END}})"
            f"{put})\n"
            f"  WITH row, makes, counts, CASE\n"
            f"    WHEN makes OR counts THEN null WHEN known THEN {as_text(why)}\n"
            f"    WHEN NOT {able} THEN {as_text(cannot)} ELSE 'number' END AS why\n"
            f"  WHERE counts OR row.make\n"
            f"  RETURN {as_text(kind.name)} AS kind, row.id AS id, makes AS made, why AS refused"
        )

    def _put(self, name: str) -> str:
        return "\n".join(self._put_of(kind) for kind in self._kinds[name]) or _NOTHING

    def _put_of(self, kind: Kind) -> str:
        ours = "title" if kind.name == "item" else "name"
        title = kind.node.title
        own = {kind.key} | ({"kind"} if kind.name == "category" else set())
        moved = ""
        if title is not None and title != ours:
            named = quoted(title)
            moved = f"  SET n.{named} = coalesce(row.properties.{ours}, before.{named})\n"
            own.add(ours)
        if kind.name == "item" and self._graph.item.available:
            own.add("available")
        # What the caller names counts; the id and what has another name there stays.
        stays = ", ".join(f"n.{name} = before.{name}" for name in sorted(own))
        return (
            f"CALL () {{\n  UNWIND $rows AS row\n  WITH row WHERE {kind.is_one('row.id')}\n"
            f"  MATCH (n:{kind.label}) WHERE {kind.has('n', 'row.id')}\n"
            f"  WITH row, n, n {{.*}} AS before\n"
            f"  SET n += row.properties\n  SET {stays}\n{moved}"
            f"{self._put_available(kind)}{self._put_links(kind)}}}"
        )

    def _put_available(self, kind: Kind) -> str:
        if kind.name != "item" or not self._graph.item.available:
            return ""
        literals = settable(self._graph.item.available, "item")
        if literals is None or len(literals) != 1:
            return ""  # refused where it is given
        ((name, value),) = literals.items()
        said = f"(row.properties.available = {value})" if value in ("true", "false") else value
        return (
            f"  SET n.{name} = CASE WHEN row.properties.available IS NULL "
            f"THEN before.{name} ELSE {said} END\n"
        )

    def _put_links(self, kind: Kind) -> str:
        paths = self._graph.item_categories
        if kind.name != "item" or len(paths) != 1 or len(self._kinds["category"]) != 1:
            return ""
        try:
            step = step_of(paths[0])
        except ForeignGraphError:
            return ""
        (category,) = self._kinds["category"]
        own = "[link IN row.links | link.category_id]"
        numbers = f"[id IN {own} WHERE {number_of('id')} IS NOT NULL | toInteger(id)]"
        put = "".join(f" SET r.{name} = {value}" for name, value in step.settings.items())
        put += f" SET r.{step.value} = link.weight" if step.value else ""
        return (
            f"  WITH row, n WHERE row.links IS NOT NULL\n"
            f"  CALL (row, n) {{\n"
            f"    OPTIONAL MATCH {step.pattern('n', f'c:{category.label}', 'old')}\n"
            f"      WHERE NOT c.{category.key} IN ({own} + {numbers})\n"
            f"    DELETE old\n    RETURN count(*) AS removed\n  }}\n"
            f"  UNWIND row.links AS link\n"
            f"  MATCH (c:{category.label}) WHERE {category.has('c', 'link.category_id')}\n"
            f"  MERGE {step.made('n', 'c', 'r')}{put}\n"
        )

    def _follows(self) -> str:
        try:
            (step,) = self._one(self._graph.follows, "follows")
        except ForeignGraphError:
            return _NOTHING
        (user,) = self._kinds["user"]
        put = "".join(f" SET r.{name} = {value}" for name, value in step.settings.items())
        first = ""
        if step.time:
            first = f"WITH {time_sampled(step)} AS time_kind\n"
            at = TIME_AS.format(kind="time_kind", at="row.since")
            put += (
                f" SET r.{step.time} = CASE WHEN row.since IS NOT NULL THEN {at} "
                f"WHEN row.anew THEN null ELSE r.{step.time} END"
            )
        kind = ", time_kind" if step.time else ""
        return (
            f"{first}UNWIND $rows AS row\n"
            f"CALL (row) {{ MATCH (u:{user.label}) WHERE {user.has('u', 'row.user_id')} "
            f"RETURN u LIMIT 1 }}\n"
            f"CALL (row) {{ MATCH (other:{user.label}) WHERE {user.has('other', 'row.other_id')} "
            f"RETURN other LIMIT 1 }}\n"
            f"OPTIONAL MATCH {step.pattern('u', 'other', 'known')}\n"
            f"WITH row, u, other, collect(known) AS known{kind}\n"
            f"FOREACH (old IN CASE WHEN row.follow THEN [] ELSE known END | DELETE old)\n"
            f"FOREACH (_ IN CASE WHEN row.follow AND known = [] THEN [1] ELSE [] END |\n"
            f"  MERGE {step.made('u', 'other')})\n"
            f"WITH row, u, other, known{kind}\n"
            f"CALL (row, u, other{kind}) {{\n"
            f"  WITH * WHERE row.follow\n"
            f"  MATCH {step.pattern('u', 'other', 'r')}\n"
            f"  WITH r, row{kind} LIMIT 1\n"
            f"  SET r.recsvc_none = null{put}\n}}\n"
            f"RETURN row.user_id AS user_id, row.other_id AS other_id, size(known) > 0 AS existed"
        )

    def _events(self) -> str:
        paths = [path for path in self._graph.interactions if not path.event_property]
        paths += [path for path in self._graph.interactions if path.event_property][:1]
        steps = [step for step in map(step_or_none, paths) if step is not None]
        (user,), (item,) = self._kinds["user"], self._kinds["item"]
        sampled, made = list[str](), list[str]()
        names = [step.event for step in steps if step.event is not None]
        for number, step in enumerate(steps):
            columns, clause = _event_made(step, number, names)
            sampled += columns
            made.append(clause)
        kinds = "".join(f", {column.rpartition(' AS ')[2]}" for column in sampled)
        first = f"WITH {', '.join(sampled)}\n" if sampled else ""
        return (
            f"{first}UNWIND $rows AS candidate\n"
            f"WITH candidate.event_id AS event_id, head(collect(candidate)) AS row{kinds}\n"
            f"ORDER BY event_id\n"
            f"MERGE (entry:{LEDGER} {{event_id: event_id}})\n"
            f"ON CREATE SET entry.user_id = row.user_id, entry.item_id = row.item_id,\n"
            f"  entry.uncounted = true\n"
            f"WITH entry, row{kinds} WHERE entry.uncounted = true\n"
            f"REMOVE entry.uncounted\n"
            f"WITH row{kinds}, CASE WHEN row.at IS NOT NULL THEN "
            f"datetime({{epochSeconds: row.at[0], nanosecond: row.at[1]}}) END AS at\n"
            f"CALL (row) {{ MATCH (user:{user.label}) WHERE {user.has('user', 'row.user_id')} "
            f"RETURN user LIMIT 1 }}\n"
            f"CALL (row) {{ MATCH (item:{item.label}) WHERE {item.has('item', 'row.item_id')} "
            f"RETURN item LIMIT 1 }}\n"
            + "\n".join(made)
            + "\nRETURN count(*) AS counted, collect(row.event_id) AS event_ids, [] AS beyond"
        )


def _event_made(step: Step, number: int, names: list[str]) -> tuple[list[str], str]:
    """What is sampled before events are made by a step, and the clause that makes one.

    Args:
        step: from a user to an item.
        number: of the step.
        names: the kinds of events that have steps of their own.
    """
    which = f"row.event = {as_text(step.event)}" if step.event is not None else (
        f"NOT row.event IN [{', '.join(map(as_text, names))}]")  # fmt: skip
    values, sampled = dict(step.settings), list[str]()
    if step.event_property:
        values[step.event_property] = "row.event"
    if step.value:
        sampled.append(f"coalesce({whole_sampled(step)}, false) AS whole_{number}")
        values[step.value] = NUMBER_AS.format(whole=f"whole_{number}", value="row.value")
    if step.time:
        sampled.append(f"{time_sampled(step)} AS time_{number}")
        values[step.time] = TIME_AS.format(kind=f"time_{number}", at="at")
    inner = ", ".join(f"{name}: {value}" for name, value in values.items())
    pattern = step.made("user", "item", properties=inner)
    return sampled, f"FOREACH (_ IN CASE WHEN {which} THEN [1] ELSE [] END | CREATE {pattern})"


LEDGER = PREFIX + "Event"
"""The label of the entries that make an event count once; it is ours whatever `writes` is."""
_NOTHING = "UNWIND [] AS nothing RETURN nothing"
"""A statement for what is refused before it is run, unless there is nothing to write."""
