"""A small shop as real ones are, and what is true of it, counted from its tables in plain Python.

`../shared/tools/odd_shop.py` makes the tables: several events on one pair, returns, a bot, ids of
every kind, items without titles, hidden ones, categories with parents, rows that have to be
rejected. `SEEDS` are those that tests ask for.
"""

import csv
import math
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import CHECKOUT

TOOL = CHECKOUT.parent / "shared" / "tools" / "odd_shop.py"
SEEDS = (0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (7, 23, 42)))
NO_IDS = ("", "null", "nan", "none", "na", "n/a", "#n/a", "\\n")
ODD_IDS = (
    "01", "1", "1.0", "1e3", "Ünal", "U\u0308nal", "שלום", "דּוּ", "a/b", "a b", "a?b#c", "%41",
    "..", "O'Neil", 'q"q', "😀", "x" * 200, "दिल", "i1", "root",
)  # fmt: skip
"""Users of every shop; one of them did nothing."""

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Event:
    """One row of `interactions` that can be taken."""

    user_id: str
    item_id: str
    kind: str
    at: datetime
    value: float


@dataclass(frozen=True)
class OddShop:
    """The tables of one seed, and what is true of them.

    Attributes:
        folder: of the tables.
        events: rows of `interactions` that can be taken.
        rejected: why others cannot, by user id.
        follows: follower and followee.
        titles: of each item; empty where it has none.
        hidden: items that are not available.
        categories: of each item, as linked.
        parents: of each category, its parent or "".
        names: of each category.
    """

    folder: Path
    events: tuple[Event, ...]
    rejected: Mapping[str, str]
    follows: frozenset[Pair]
    titles: Mapping[str, str]
    hidden: frozenset[str]
    categories: Mapping[str, frozenset[str]]
    parents: Mapping[str, str]
    names: Mapping[str, str]

    @cached_property
    def users(self) -> list[str]:
        """Everybody whom an interaction or a follow names."""
        named = {event.user_id for event in self.events} | {
            user for pair in self.follows for user in pair
        }
        return sorted(named)

    @cached_property
    def odd(self) -> tuple[str, ...]:
        """Those of `ODD_IDS` that are in the graph."""
        return tuple(user for user in ODD_IDS if user in self.users)

    @cached_property
    def items(self) -> dict[str, set[str]]:
        """What each user did something with, nothing too."""
        found: dict[str, set[str]] = {user: set() for user in self.users}
        for event in self.events:
            found[event.user_id].add(event.item_id)
        return found

    @cached_property
    def people(self) -> dict[str, set[str]]:
        """Who did something with each item, nobody too."""
        found: dict[str, set[str]] = {item: set() for item in self.titles}
        for event in self.events:
            found[event.item_id].add(event.user_id)
        return found

    @cached_property
    def interactions(self) -> dict[tuple[str, str, str], list[Event]]:
        """The rows of each relationship: of one user, item and kind of event."""
        found: defaultdict[tuple[str, str, str], list[Event]] = defaultdict(list)
        for event in self.events:
            found[event.user_id, event.item_id, event.kind].append(event)
        return dict(found)

    @cached_property
    def kinds(self) -> Counter[str]:
        """Relationships of each kind of event."""
        return Counter(kind for _, _, kind in self.interactions)

    @cached_property
    def members(self) -> dict[str, set[str]]:
        """The items linked to each category itself."""
        found: dict[str, set[str]] = {category: set() for category in self.parents}
        for item, categories in self.categories.items():
            for category in categories:
                found[category].add(item)
        return found

    def followed(self, user_id: str) -> set[str]:
        """Whom a user follows."""
        return {followee for follower, followee in self.follows if follower == user_id}

    def followers(self, user_id: str) -> set[str]:
        """Who follows a user."""
        return {follower for follower, followee in self.follows if followee == user_id}

    def under(self, category_id: str) -> set[str]:
        """The items of a category and of all below it."""
        below = [child for child, parent in self.parents.items() if parent == category_id]
        return self.members[category_id].union(*(self.under(child) for child in below))

    def eligible(self, user_id: str) -> set[str]:
        """Items that may be recommended to a user: to be had, and not seen."""
        return self.titles.keys() - self.hidden - self.items[user_id]

    def parity(self, user_id: str) -> int | None:
        """The taste of a user of 6 items or more who does not have everything: 0 even, 1 odd."""
        items = self.items[user_id]
        if not 6 <= len(items) < 60:
            return None
        return int(sum(number(item) % 2 for item in items) * 2 > len(items))


def number(item_id: str) -> int:
    return int(item_id.removeprefix("i"))


def in_path(identifier: str) -> str:
    """An id as it stands in the path of a URL."""
    return quote(identifier, safe="").replace(".", "%2E")


def odd_shop(folder: Path, seed: int = 0, *options: str) -> OddShop:
    """Make the tables of one seed and read them.

    Args:
        folder: where they go; made.
        seed: of the shop.
        options: further ones of the tool, such as `--clean`.
    """
    if not TOOL.is_file():
        pytest.skip("the maker of the odd shop is not beside this checkout (../shared/tools)")
    command = [sys.executable, str(TOOL), str(folder), "--seed", str(seed), *options]
    subprocess.run(command, check=True, timeout=600)
    rejected: dict[str, str] = {}
    events = tuple(_events(folder, rejected))
    items = list(_rows(folder, "items"))
    categories: defaultdict[str, set[str]] = defaultdict(set)
    for row in _rows(folder, "item_categories"):
        categories[row["item_id"]].add(row["category_id"])
    known = list(_rows(folder, "categories"))
    return OddShop(
        folder=folder,
        events=events,
        rejected=rejected,
        follows=frozenset((r["follower_id"], r["followee_id"]) for r in _rows(folder, "follows")),
        titles={row["item_id"]: row["title"] for row in items},
        hidden=frozenset(row["item_id"] for row in items if row["available"] == "false"),
        categories={item: frozenset(of) for item, of in categories.items()},
        parents={row["category_id"]: row["parent_id"] for row in known},
        names={row["category_id"]: row["name"] for row in known},
    )


def _rows(folder: Path, table: str) -> Iterator[dict[str, str]]:
    with (folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _events(folder: Path, rejected: dict[str, str]) -> Iterator[Event]:
    for row in _rows(folder, "interactions"):
        if reason := _why_not(row):
            rejected[row["user_id"]] = reason
        else:
            user, item, kind, value = (row[n] for n in ("user_id", "item_id", "event", "value"))
            yield Event(user, item, kind, _time(row["timestamp"]), float(value))


def _why_not(row: Mapping[str, str]) -> str | None:
    """Why a row cannot be taken: ids, numbers and times of docs/tables.md."""
    if row["user_id"].strip().lower() in NO_IDS:
        return "user_id"
    value = float(row["value"])
    if not math.isfinite(value) or abs(value) > 1e6:
        return "value"
    at = _time(row["timestamp"])
    within = datetime(1970, 1, 2, tzinfo=UTC) <= at <= datetime.now(UTC) + timedelta(days=1)
    return None if within else "timestamp"


def _time(text: str) -> datetime:
    """ISO 8601, basic dates too, or seconds since 1970; without an offset it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(float(text), UTC)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
