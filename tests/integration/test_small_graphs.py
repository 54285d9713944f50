"""Young shops: graphs so small that hardly anything can be learned from them.

Whatever little there is, a refresh ends with a version that serves, and everybody gets k items or
all there are and the reason, over HTTP and on the command line.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j import DEFAULT_LINE
from recsvc.analyst.questions import questions, values
from recsvc.settings import load_settings
from tests.conftest import Served, running_service
from tests.prepared_graph import DELETE_ALL
from tests.shop_asking import ShopAsking

pytestmark = [
    pytest.mark.neo4j,
    pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True, scope="session"),
]

RIDGE = {"RECSVC_REFRESH": '{"models": ["ridge"]}'}
SHORT = ("nobody with five", "one user")
"""What `make test` refreshes."""
LEARNED = {
    "everybody alike",
    "islands",
    "the largest values",
    "long ago",
    "nothing to be had",
}
"""Where λ is learned. The least values are 0: weights have six decimals."""
COLUMNS = {
    "interactions": ("user_id", "item_id", "event", "value", "timestamp"),
    "follows": ("follower_id", "followee_id"),
    "preferences": ("user_id", "category_id"),
    "users": ("user_id",),
    "items": ("item_id", "available"),
    "categories": ("category_id", "parent_id"),
    "item_categories": ("item_id", "category_id"),
}
Tables = Mapping[str, Sequence[tuple[Any, ...]]]


def did(*pairs: tuple[str, str], event: str = "purchase", value: Any = None, at: Any = None) -> Any:
    return [(user, item, event, value, at) for user, item in pairs]


def every(users: int, items: int) -> list[tuple[str, str]]:
    return [(f"u{u}", f"i{i}") for u in range(users) for i in range(items)]


def items(number: int) -> list[tuple[str, str | None]]:
    return [(f"i{i}", None) for i in range(number)]


NAMED: Mapping[str, Tables] = {
    "only items": {"items": items(3)},
    "only users": {"users": [("u0",), ("u1",)]},
    "one user": {"users": [("1",)]},  # a session of an unknown item, where there is no item at all
    "one user, one item": {"interactions": did(("u0", "i0"))},
    "one user, four items": {"interactions": did(*every(1, 4)), "items": items(8)},
    "one user, nine items": {"interactions": did(*every(1, 9)), "items": items(20)},
    "one item": {"interactions": did(*every(30, 1))},
    "one interaction each": {"interactions": did(*((f"u{n}", f"i{n}") for n in range(30)))},
    "everybody alike": {"interactions": did(*every(30, 6)), "items": items(10)},
    "nobody with five": {
        "interactions": did(*((f"u{n}", f"i{(n + k) % 12}") for n in range(40) for k in range(4)))
    },
    "all weights 0": {"interactions": did(*every(12, 6), value=0), "items": items(10)},
    "only negatives": {"interactions": did(*every(12, 6), event="dislike"), "items": items(10)},
    "only unknown kinds": {"interactions": did(*every(12, 6), event="zap"), "items": items(10)},
    "only follows": {"follows": [("u0", "u1"), ("u1", "u2"), ("u2", "u0")], "items": items(5)},
    "only categories": {
        "item_categories": [("i0", "c0"), ("i1", "c0"), ("i2", "c1")],
        "preferences": [("u0", "c0")],
        "categories": [("c0", "c1"), ("c1", "c0")],
    },
    "one who has everything": {
        "interactions": did(*every(1, 30), ("u1", "i0"), ("u2", "i1")),
    },
    "a star": {"interactions": did(*((f"u{n}", "i0") for n in range(40)), *every(1, 12))},
    "islands": {
        "interactions": did(*((f"u{n}", f"i{n}-{k}") for n in range(12) for k in range(6)))
    },
    "the largest values": {
        "interactions": did(*every(12, 6), value=1e6) + did(*every(6, 3), event="view", value=-1e6),
        "items": items(10),
    },
    "the least values": {"interactions": did(*every(12, 6), value=1e-300), "items": items(10)},
    "long ago": {"interactions": did(*every(12, 6), at=86_400 * 2), "items": items(10)},
    "nothing to be had": {
        "interactions": did(*every(12, 6)),
        "items": [(f"i{n}", "false") for n in range(6)],
    },
}


@dataclass
class Shop:
    """A graph made of tables, and what commands say of it.

    Attributes:
        address: where it is.
        gateway: the same.
        folder: for its tables.
        service: serves what is refreshed, once it is told.
        tables: what it is made of.
        asked: users for whom commands are asked.
        variables: further settings.
    """

    address: Neo4jAddress
    gateway: Neo4jGateway
    folder: Path
    service: httpx.Client
    tables: Tables
    asked: int = 3
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command; what is not an error of ours goes on through it."""
        return Served(self.address, self.gateway, None, self.folder / "home", self.folder).run(
            *arguments, **self.variables
        )

    def run(self, *arguments: str) -> str:
        """What a command prints that ends well."""
        done = self.command(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def told(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def everything(self) -> dict[str, Any]:
        """Ingest, refresh, and ask all that can be asked; the manifest of the refresh."""
        for name, rows in self.tables.items():
            schema = dict.fromkeys(COLUMNS[name], pl.String)
            text = [tuple(None if v is None else str(v) for v in row) for row in rows]
            pl.DataFrame(text, schema=schema, orient="row").write_csv(self.folder / f"{name}.csv")
        self.gateway.run(DELETE_ALL)
        self._ingest()
        manifest = self.told("refresh")
        assert manifest["state"] == "activated"
        self.answers()
        self.served(manifest["versions"]["hybrid"])
        return manifest

    def _ingest(self) -> None:
        """Take in the tables; rows that cannot be are counted, and are all that is refused."""
        refused = len(self.tables.get("interactions", ())) - len(self.interactions)
        done = self.command("ingest", str(self.folder / "*.csv"), "--json")
        assert done.returncode == (1 if refused and not self.interactions else 0), done.stderr
        assert json.loads(done.stdout)["rejected"] == refused

    def served(self, version: int) -> None:
        """Ask every route of the service that reads."""
        told = self.service.post("/v1/models/hybrid/activate", json={"version": version})
        assert told.status_code == 200, told.text
        ShopAsking(
            self.service, self.users, {item: item in self.eligible for item in self.items},
            {user: self.seen(user) for user in self.users}, self.inside,
        ).everything()  # fmt: skip

    def asked_by_analysts(self) -> None:
        """Every question, about the first user and items there are, and the report."""
        known = values(load_settings().events)
        for name, ids in (("user_id", self.users), ("item_id", sorted(self.eligible))):
            known |= dict(zip((name, f"other_{name}"), [*ids, "nobody", "nobody"], strict=False))
        for question in questions():
            given = {name: known[name] for name in question.query.params}
            for row in self.gateway.run(question.query, **given):
                assert row.keys() == question.query.returns.keys()
        self.run("report")

    def measured(self) -> None:
        """`evaluate` of what there is, on half of it, ends with numbers or one clear line."""
        if "interactions" not in self.tables:
            return
        rows = (self.folder / "interactions.csv").read_text().splitlines()
        (self.folder / "train.csv").write_text("\n".join([rows[0], *rows[1::2]]) + "\n")
        (self.folder / "test.csv").write_text("\n".join([rows[0], *rows[2::2]]) + "\n")
        files = ("--train", str(self.folder / "train.csv"), "--test", str(self.folder / "test.csv"))
        for model in ("popularity", "hybrid"):
            done = self.command("evaluate", model, *files, "--json")
            assert done.returncode in (0, 1)
            assert done.stdout if done.returncode == 0 else done.stderr.startswith("recsvc: ")

    @property
    def interactions(self) -> list[tuple[Any, ...]]:
        """The rows that can be taken."""
        rows = self.tables.get("interactions", ())
        return [row for row in rows if row[3] not in NO_VALUES and row[4] not in NO_TIMES]

    @property
    def users(self) -> list[str]:
        t = self.tables
        found = [row[0] for row in self.interactions]
        found += [r[0] for n in ("users", "preferences") for r in t.get(n, ())]
        found += [user for row in t.get("follows", ()) for user in row]
        return sorted(set(found))

    @property
    def items(self) -> set[str]:
        t = self.tables
        found = {row[1] for row in self.interactions}
        return found | {row[0] for n in ("items", "item_categories") for row in t.get(n, ())}

    @property
    def eligible(self) -> set[str]:
        gone = {item for item, available in self.tables.get("items", ()) if available == "false"}
        return self.items - gone

    @property
    def inside(self) -> dict[str, set[str]]:
        """The items of each category and of all below it."""
        t = self.tables
        above: dict[str, set[str]] = {row[1]: set() for row in t.get("preferences", ())}
        for child, parent in t.get("categories", ()):
            above |= {each: set() for each in (child, parent) if each is not None}
        for item, category in t.get("item_categories", ()):
            above.setdefault(category, set()).add(item)
        for _ in above:
            for child, parent in t.get("categories", ()):
                if parent is not None:
                    above[parent] |= above[child]
        return above

    def seen(self, user: str) -> set[str]:
        return {row[1] for row in self.interactions if row[0] == user}

    def answers(self) -> None:
        for user in self.users[: self.asked]:
            answer = self.told("recommend", user, "-k", "20")
            listed = [item["item_id"] for item in answer["items"]]
            left = self.eligible - self.seen(user)
            assert answer["degraded"] == []
            assert ("short" in answer) == (len(left) < 20)
            assert answer.get("short", "") in self.run("recommend", user, "-k", "20")
            assert len(set(listed)) == len(listed) == min(20, len(left)), (user, left)
            assert set(listed) <= left
            for item in answer["items"]:
                assert sum(item["signals"].values()) == pytest.approx(
                    item["score"], rel=1e-4, abs=1e-9
                )
            for item in listed[:1] + listed[-1:] + sorted(self.seen(user))[:1]:
                assert self.told("explain", user, item)["explanation"]["text"]
        for item in sorted(self.eligible)[:2]:
            self.similar(item)
        out = self.folder / "all.jsonl"
        self.run("batch-recommend", "--out", str(out), "-k", "5")
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        for user in self.users:
            own = [row["item_id"] for row in rows if row["user_id"] == user]
            assert len(own) == min(5, len(self.eligible - self.seen(user))), user

    def similar(self, item: str) -> None:
        """Neighbours, or why there are none."""
        done = self.command("similar", item, "--json")
        if done.returncode:
            assert "no model with vectors is active" in done.stderr
        else:
            document = json.loads(done.stdout)
            assert document["items"] or document["reason"]


@pytest.fixture(scope="module")
def service(
    neo4j_address: Neo4jAddress,
    session_gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    """A service that runs before there is anything, and through all that is drawn."""
    folder = tmp_path_factory.mktemp("service")
    environment = Served(neo4j_address, session_gateway, None, folder / "home", folder).environment
    environment |= {"RECSVC_ANSWER_CACHE_SECONDS": "0"}
    with running_service(environment, folder / "serve.log", until="/health/live") as running:
        yield running.client


@pytest.fixture
def shop(
    neo4j_address: Neo4jAddress,
    session_gateway: Neo4jGateway,
    tmp_path: Path,
    service: httpx.Client,
) -> Callable[[Tables], Shop]:
    return lambda tables: Shop(neo4j_address, session_gateway, tmp_path, service, tables)


@pytest.mark.parametrize(
    "name", [n if n in SHORT else pytest.param(n, marks=pytest.mark.long) for n in NAMED]
)
def test_a_small_graph_is_refreshed_and_answers(name: str, shop: Callable[[Tables], Shop]) -> None:
    made = shop(NAMED[name])
    if name in SHORT:
        made.variables = RIDGE
    manifest = made.everything()
    assert (manifest["unlearned"] is None) == (name in LEARNED)
    if name not in SHORT:
        made.asked_by_analysts()
        made.measured()


IDS = ["1", "1.0", "01", "1e3", "u", "U", "a b", "it's", 'say "x"', "{}", "ü", "😀", "a,b", "x/y?z"]
NO_VALUES = (1e300, "nan")
NO_TIMES = (-5, "1969-07-20", "2999-01-01", "soon")
"""What is refused."""
VALUES = [None, 0, 1, -1, 5, 0.3, 1e6, -1e6, 1e-300, 1e300]
TIMES = [None, 86_400 * 2, "1999-12-31", 1_700_000_000, "1969-07-20", "2999-01-01"]
KINDS = ["interaction", "purchase", "view", "dislike", "rating", "zap"]


@st.composite
def small_graphs(draw: st.DrawFn) -> Tables:
    """Up to 14 users, 8 items and 4 categories; nothing at all of some of them."""
    users = draw(st.lists(st.sampled_from(IDS), max_size=14, unique=True))
    things = draw(st.lists(st.sampled_from(IDS[:8]), max_size=8, unique=True))
    classes = draw(st.lists(st.sampled_from(IDS[:4]), max_size=4, unique=True))

    def pairs(left: list[str], right: list[str], most: int = 20) -> list[tuple[str, str]]:
        every = [(a, b) for a in left for b in right if left is not right or a != b]
        if not every:
            return []
        if draw(st.integers(0, 4)) == 0:
            return every
        return draw(st.lists(st.sampled_from(every), max_size=most, unique=True))

    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True))
    given = [st.sampled_from(each) for each in (kinds, VALUES, TIMES)]
    flags = st.sampled_from([None, None, "true", "false"])
    tables = {
        "interactions": [(*pair, *map(draw, given)) for pair in pairs(users, things, 60)],
        "follows": pairs(users, users),
        "preferences": pairs(users, classes),
        "users": [(user,) for user in users],
        "items": [(item, draw(flags)) for item in things],
        "categories": [*((each, None) for each in classes), *pairs(classes, classes, 4)],
        "item_categories": pairs(things, classes),
    }
    return {name: rows for name, rows in tables.items() if rows}


def drawn(examples: int) -> Callable[..., Any]:
    """The same examples each time, so that a failure is no chance."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(
        max_examples=examples, derandomize=True, deadline=None, suppress_health_check=slow
    )


@pytest.mark.long
@drawn(25)
@given(tables=small_graphs().filter(bool))
def test_many_small_graphs_are_refreshed(
    tables: Tables, neo4j_address: Neo4jAddress, session_gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory, service: httpx.Client,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("shop")
    Shop(neo4j_address, session_gateway, folder, service, tables).everything()
