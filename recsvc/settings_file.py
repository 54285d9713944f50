"""Writing of settings into `recsvc.toml`: what else is in that file stays as it is."""

import math
import shlex
import tomllib
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from loaders.files import file_lock, whole_file
from loaders.graph_map import GraphMap
from recsvc.errors import SettingsError
from recsvc.event_kinds import EventSettings, kind_key, named_as, shown_kind
from recsvc.settings import SETTINGS_FILE, read_settings_text


def parse_event_weights(assignments: Sequence[str]) -> dict[str, float]:
    """Weights of kinds of events, each given as `borrowed=1`.

    Raises:
        SettingsError: one is of another form, or no weight of an event.
    """
    weights: dict[str, float] = {}
    for assignment in assignments:
        name, _, text = assignment.rpartition("=")
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        allowed = EventSettings.model_fields["weight"].metadata
        low, high = (next(getattr(m, b) for m in allowed if hasattr(m, b)) for b in ("ge", "le"))
        if not kind_key(name) or not low <= weight <= high:
            raise SettingsError(
                f"--event-weight {assignment}: expected the name of a kind of event, = and a "
                f"weight from {low:.0f} to {high:.0f}, such as borrowed=1"
            )
        weights[name] = weight
    return weights


def write_event_weights(weights: Mapping[str, float], path: Path | None = None) -> None:
    """Set `weight` of some kinds of events in `recsvc.toml`, which is made where there is none.

    Raises:
        SettingsError: the file cannot be read or written, or is not TOML.
    """

    def add(document: MutableMapping[str, Any], table: Callable[[], Any]) -> None:
        events: Any = document.setdefault("events", table())
        for name, weight in weights.items():
            events.setdefault(named_as(name, events) or name, table())["weight"] = weight

    _change(path, add, f"above its first table, {event_line(next(iter(weights)))}")


def write_model_options(model: str, values: Mapping[str, Any], path: Path | None = None) -> None:
    """Set options of a model in `recsvc.toml`, which is made where there is none.

    Raises:
        SettingsError: the file cannot be read or written, or is not TOML.
    """

    def add(document: MutableMapping[str, Any], table: Callable[[], Any]) -> None:
        models: Any = document.setdefault("models", table())
        models.setdefault(model, table()).update(values)

    _change(path, add, f"at its end,\n{model_table(model, values)}")


def model_table(model: str, values: Mapping[str, Any]) -> str:
    """The table of `recsvc.toml` that gives a model these options."""
    return tomlkit.dumps({"models": {model: dict(values)}}).strip()


def write_graph(graph: GraphMap, path: Path | None = None) -> None:
    """Set `[graph]` in `recsvc.toml`, or in another file, which is made where there is none.

    Raises:
        SettingsError: the file cannot be read or written, is not TOML, or has a `[graph]`.
    """
    values = _graph_values(graph)

    def add(document: MutableMapping[str, Any], _table: Callable[[], Any]) -> None:
        if "graph" in document:
            raise ValueError("it has a [graph] already")
        document["graph"] = values

    _change(path, add, f"at its end,\n{graph_tables(graph)}")


def graph_tables(graph: GraphMap) -> str:
    """The tables of `recsvc.toml` that map a graph."""
    return tomlkit.dumps({"graph": _graph_values(graph)}).strip()


def _graph_values(graph: GraphMap) -> dict[str, Any]:
    return graph.model_dump(mode="json", exclude_none=True, exclude_defaults=True)


_Add = Callable[[MutableMapping[str, Any], Callable[[], Any]], None]
"""Adds to a settings file, given as a mapping and what makes a table of it."""


def _change(path: Path | None, add: _Add, by_hand: str) -> None:
    """Add to a settings file; all else in it stays as it is.

    Raises:
        SettingsError: it cannot be changed; the message says what to write into it by hand.
    """
    path = (path or Path(SETTINGS_FILE)).resolve()
    try:
        # Two who write the same part would leave it empty.
        with file_lock(path.parent):
            text = read_settings_text(path) if path.exists() else ""
            _replace(path, _added(text, add))
    except (OSError, ValueError, TypeError, AttributeError, TOMLKitError) as error:
        raise SettingsError(
            f"{path} cannot be changed: {error}: write into it by hand, {by_hand}"
        ) from error


def _added(text: str, add: _Add) -> str:
    """A settings file with what is added.

    Raises:
        ValueError: it is not TOML, or has a form that cannot be added to.
        TOMLKitError: the same.
    """
    document = tomlkit.parse(text)
    add(document, tomlkit.table)
    changed = tomlkit.dumps(document)
    expected = tomllib.loads(text)
    add(expected, dict)
    if tomllib.loads(changed) != expected:
        raise ValueError("its form is one that cannot be added to")
    return changed


def event_line(name: str) -> str:
    """The line of `recsvc.toml`, above its first table, that gives a kind of event the weight 1."""
    return f"events.{tomlkit.key(name).as_string()}.weight = 1"


def unknown_kind_lines(kinds: Sequence[str], *, most: int = 10) -> list[str]:
    """What to say of kinds of events that have no weight, one line for each of the first few."""
    lines = [
        f"the kind of event {shown_kind(kind)} has no weight and counts nothing: give it one with "
        f"`recsvc ingest … --event-weight {shlex.quote(f'{kind}=WEIGHT')}`, "
        f"below 0 where it speaks against the item, or write into "
        f"{SETTINGS_FILE}, above its first table, {event_line(kind)}"
        for kind in kinds[:most]
    ]
    more = len(kinds) - len(lines)
    return [*lines, f"… and {more:,} further kinds without a weight"] if more > 0 else lines


def _replace(path: Path, text: str) -> None:
    """Write a file that is whole at every moment, with the permissions of the one before."""
    with whole_file(path) as part:
        part.touch(mode=0o600)  # it may hold a password
        part.write_text(text, encoding="utf-8")
        if not path.exists():
            part.chmod(0o644)
