"""The analysts' questions on the odd shop: they count people and items, not relationships.

Each answer is counted again from the tables in plain Python.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from loaders.catalogue import Query
from loaders.gateway import Row
from recsvc.analyst.questions import questions
from recsvc.settings import load_settings
from tests.analyst_lastfm import best, cosines, ids, near, pairs
from tests.conftest import CHECKOUT
from tests.integration.conftest import OddServed
from tests.odd_shop import Event
from tests.odd_shop_asked import (
    ITEM,
    KIND,
    MODEL,
    OTHER_ITEM,
    OTHER_MODEL,
    USER,
    Asked,
    asked_shop,
)
from tests.statement import statement

pytestmark = pytest.mark.neo4j

ASKED = set(re.findall(r'ask\("(\w+)"', Path(__file__).read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def asked(odd: OddServed) -> Asked:
    return asked_shop(odd.served.gateway, odd.shop)


def kinds(rows: list[Row], key: str = "category_id", kind: str = "kind") -> bool:
    return all(row[kind] == KIND.get(row[key]) for row in rows)


# --- one user ---------------------------------------------------------------------------------


def test_central_items(asked: Asked) -> None:
    for user in ("u5", "u8"):
        followers, chance = asked.shop.followers(user), Counter[str]()
        for person in followers:
            for item in asked.shop.items[person]:
                chance[item] += 1 / len(followers) / len(asked.shop.items[person])
        rows = asked.ask("central_items", user_id=user)
        assert best(chance) == pairs(rows, "item_id", "chance")
        for row in rows:
            assert row["followers"] == len(followers & asked.shop.people[row["item_id"]])
            assert row["title"] == (asked.shop.titles[row["item_id"]] or None)


def test_connections(asked: Asked) -> None:
    graph = nx.Graph(asked.shop.follows)
    for user, other in (("u4", "u6"), ("u40", "u42"), ("u61", "u63"), ("u5", "bot")):
        rows = asked.ask("connections", user_id=user, other_id=other, limit=100)
        ways: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        for row in rows:
            ways[row["way"]].append((row["people"], ids(row["path"])[1]))
        both = asked.shop.items[user] & asked.shop.items[other]
        assert ways["both have"] == sorted((asked.people[item], item) for item in both)
        followed = asked.shop.followed(user) & asked.shop.followed(other)
        counts = sorted((len(asked.shop.followers(person)), person) for person in followed)
        assert ways["both follow"] == counts
        chain = [row for row in rows if row["way"] == "chain of follows"]
        near = user in graph and other in graph and nx.has_path(graph, user, other)
        length = nx.shortest_path_length(graph, user, other) if near else 99
        assert [len(row["path"].relationships) for row in chain] == ([length] * (length <= 6))
    assert asked.ask("connections", other_id=USER) == []


def test_draw_user(asked: Asked) -> None:
    for user in (USER, "u30"):
        rows = asked.ask("draw_user", user_id=user, limit=4)
        strongest = [item for item, _ in best(asked.weight(user), 4)]
        assert list(dict.fromkeys(ids(row["did"])[1] for row in rows)) == strongest
        for item in strongest:
            known = sorted(asked.shop.followed(user) & asked.shop.people[item])[:3]
            drawn = [row for row in rows if ids(row["did"])[1] == item]
            assert len({row["did"] for row in drawn}) == 1
            assert [ids(r["follows"])[1] for r in drawn if r["follows"]] == known
            assert len(drawn) == max(1, len(known))


def test_followed_have(asked: Asked) -> None:
    for user in ("u4", "u30", "only follows", "u90"):
        count = Counter(i for p in asked.shop.followed(user) for i in asked.shop.items[p])
        new = {item: n for item, n in count.items() if item not in asked.shop.items[user]}
        rows = asked.ask("followed_have", user_id=user, limit=100)
        assert best(new, 100) == pairs(rows, "item_id", "people")


def test_nearest_users(asked: Asked) -> None:
    users = asked.vectors["User"]
    for user in (USER, "a/b"):
        rows = asked.ask("nearest_users", user_id=user)
        near(rows, "user_id", dict(best(cosines(users, user))))
        for row in rows:
            both = asked.shop.items[user] & asked.shop.items[row["user_id"]]
            assert row["items_in_common"] == len(both)
            assert row["followed"] == (row["user_id"] in asked.shop.followed(user))
    assert asked.ask("nearest_users", model="node2vec") == []


def test_score_by_vector(asked: Asked) -> None:
    own = asked.vectors["User"][USER]
    can = asked.shop.eligible(USER)
    score = {i: float(own @ v) for i, v in asked.vectors["Item"].items() if i in can}
    rows = asked.ask("score_by_vector")
    assert [row["score"] for row in rows] == pytest.approx(
        [value for _, value in best(score)], rel=1e-5
    )
    assert all(score[row["item_id"]] == pytest.approx(row["score"], rel=1e-5) for row in rows)


def test_taste_neighbours(asked: Asked) -> None:
    items = asked.shop.items
    for user in (USER, "דּוּ"):
        jaccard = {
            other: len(items[user] & theirs) / len(items[user] | theirs)
            for other, theirs in items.items() if other != user and items[user] & theirs
        }  # fmt: skip
        rows = asked.ask("taste_neighbours", user_id=user)
        assert best(jaccard) == pairs(rows, "user_id", "jaccard")
        assert all(r["shared"] == len(items[user] & items[r["user_id"]]) for r in rows)


def test_untouched_categories(asked: Asked) -> None:
    found = 0
    for user in ("u9", "u13", "u30", "u31", "u33", "u35", "only follows"):
        of = asked.shop.categories
        touched = {c for item in asked.shop.items[user] for c in of.get(item, ())}
        people: defaultdict[str, set[str]] = defaultdict(set)
        items: defaultdict[str, set[str]] = defaultdict(set)
        for person in asked.shop.followed(user):
            for item in asked.shop.items[person]:
                for category in of.get(item, frozenset()) - touched:
                    people[category].add(person)
                    items[category].add(item)
        order = sorted(people, key=lambda c: (-len(people[c]), -len(items[c]), c))
        rows = asked.ask("untouched_categories", user_id=user)
        assert [(r["category_id"], r["people"], r["items"]) for r in rows] == [
            (c, len(people[c]), len(items[c])) for c in order
        ]
        assert kinds(rows)
        found += len(rows)
    assert found


def test_user_categories(asked: Asked) -> None:
    of, all_pairs = asked.shop.categories, sum(asked.people.values())
    total = Counter(c for i, n in asked.people.items() for c in of.get(i, ()) for _ in range(n))
    for user in (USER, "bot", "u6"):
        own = asked.shop.items[user]
        counts = Counter(c for item in own for c in of.get(item, ()))
        lift = {c: n / len(own) * all_pairs / total[c] for c, n in counts.items() if n >= 2}
        rows = asked.ask("user_categories", user_id=user, least_items=2)
        assert best(lift) == pairs(rows, "category_id", "lift")
        assert [row["items"] for row in rows] == [counts[row["category_id"]] for row in rows]
        assert kinds(rows)


def test_user_items(asked: Asked) -> None:
    rows = asked.ask("user_items", limit=500)
    told = {(row["item_id"], row["event"]): row for row in rows}
    did = {(i, k): events for (u, i, k), events in asked.shop.interactions.items() if u == USER}
    assert len(rows) == len(told)
    assert told.keys() == did.keys()
    for key, events in did.items():
        assert told[key]["count"] == len(events)
        assert told[key]["weight"] == pytest.approx(sum(event.value for event in events))
        assert told[key]["last_at"].to_native() == max(event.at for event in events)


def test_why_item(asked: Asked) -> None:
    shop = asked.shop
    for user, item in (("u30", "i41"), ("u4", "i79"), ("only follows", "i2")):
        own, followed = shop.items[user], shop.followed(user)
        ways: dict[str, dict[tuple[str, ...], float]] = {
            "people": {
                (user, mine, person, item):
                    1 / len(own) / asked.people[mine] / len(shop.items[person])
                for person in shop.people[item] - {user}
                for mine in own & shop.items[person] - {item}
            },
            "follows": {
                (user, person, item): 1 / len(followed) / len(shop.items[person])
                for person in followed & shop.people[item]
            },
            "categories": {
                (user, mine, c, item):
                    1 / len(own) / len(shop.categories[mine]) / len(shop.members[c])
                for mine in own - {item}
                for c in shop.categories.get(mine, frozenset())
                & shop.categories.get(item, frozenset())
            },
        }  # fmt: skip
        rows = asked.ask("why_item", user_id=user, item_id=item, limit=500)
        for way, chances in ways.items():
            found = {tuple(ids(r["path"])): r["chance"] for r in rows if r["way"] == way}
            assert found == pytest.approx(chances), way
            assert len(found) == sum(row["way"] == way for row in rows)
        assert any(ways.values())


# --- one item ---------------------------------------------------------------------------------


def test_also_have(asked: Asked) -> None:
    having = asked.shop.people[ITEM]
    count = Counter(item for user in having for item in asked.shop.items[user])
    lift = {
        item: n / len(having) * len(asked.shop.users) / asked.people[item]
        for item, n in count.items() if n >= 3 and item != ITEM
    }  # fmt: skip
    rows = asked.ask("also_have", least_people=3)
    assert best(lift) == pairs(rows, "item_id", "lift")
    assert [row["people"] for row in rows] == [count[row["item_id"]] for row in rows]


def test_audience(asked: Asked) -> None:
    score, items = Counter[str](), Counter[str]()
    for row in asked.near:
        if (row["model"], row["other"]) == (MODEL, ITEM):
            for user in asked.shop.people[row["item"]] - asked.shop.people[ITEM]:
                score[user] += row["score"]
                items[user] += 1
    rows = asked.ask("audience")
    assert best(score) == pairs(rows, "user_id", "score")
    assert [row["items"] for row in rows] == [items[row["user_id"]] for row in rows]
    assert all(asked.ask("audience", item_id=item) == [] for item in asked.shop.hidden)


def test_nearest_items(asked: Asked) -> None:
    rows = asked.ask("nearest_items")
    near(rows, "item_id", dict(best(cosines(asked.vectors["Item"], ITEM))))
    assert [row["people"] for row in rows] == [asked.people[row["item_id"]] for row in rows]
    assert asked.ask("nearest_items", item_id="i88") == []


def test_shared_categories(asked: Asked) -> None:
    both = asked.shop.categories[ITEM] & asked.shop.categories[OTHER_ITEM]
    rows = asked.ask("shared_categories")
    assert [(row["items"], row["category_id"]) for row in rows] == sorted(
        (len(asked.shop.members[c]), c) for c in both
    )
    assert rows
    assert kinds(rows)


def test_similar_items(asked: Asked) -> None:
    lists: defaultdict[str, set[str]] = defaultdict(set)
    for row in asked.near:
        if row["model"] == MODEL:
            lists[row["item"]].add(row["other"])
    expected = {(ITEM, one) for one in lists[ITEM]}
    expected |= {(ITEM, a, b) for a in lists[ITEM] for b in lists[a] if b != ITEM}
    rows = asked.ask("similar_items", limit=100)
    assert {tuple(ids(row["path"])) for row in rows} == expected
    assert len(rows) == len(expected)


# --- models -----------------------------------------------------------------------------------


def test_cold_items(asked: Asked) -> None:
    rows = asked.ask("cold_items", most_people=3, limit=100)
    listed = {row["other"] for row in asked.near if row["model"] == MODEL}
    expected = {item for item, people in asked.people.items() if people <= 3}
    assert {row["item_id"] for row in rows} == expected
    for row in rows:
        item, reasons = row["item_id"], row["reasons"]
        assert row["people"] == asked.people[item]
        assert ("nobody has it" in reasons) == (asked.people[item] == 0)
        assert ("in no category" in reasons) == (item not in asked.shop.categories)
        assert ("not available" in reasons) == (item in asked.shop.hidden)
        assert ("near no other item" in reasons) == (item not in listed)


def test_exposure_by_category(asked: Asked) -> None:
    lift, shown = {}, asked.exposure
    for category in asked.shop.parents:
        items = asked.shop.members[category]
        seen, had = (sum(c[i] for i in items) / sum(c.values()) for c in (shown, asked.people))
        if len(items) >= 3 and had:
            lift[category] = seen / had
    rows = asked.ask("exposure_by_category", least_items=3)
    assert best(lift) == pairs(rows, "category_id", "lift")
    assert all(row["items"] == len(asked.shop.members[row["category_id"]]) for row in rows)
    assert kinds(rows)


def test_models_agree(asked: Asked) -> None:
    lists = {(row["model"], row["item"], row["other"]): row["rank"] for row in asked.near}
    expected = {
        (item, other): [rank, lists[OTHER_MODEL, item, other]]
        for (model, item, other), rank in lists.items()
        if model == MODEL and (OTHER_MODEL, item, other) in lists and asked.people[item] >= 12
    }
    order = sorted(expected, key=lambda pair: (sum(expected[pair]), pair))[:20]
    rows = asked.ask("models_agree", least_people=12)
    assert [(row["item_id"], row["other_id"]) for row in rows] == order
    assert [row["ranks"] for row in rows] == [expected[pair] for pair in order]
    assert order
    assert asked.ask("models_agree", other_model="node2vec") == []


def test_newer_than_refresh(asked: Asked) -> None:
    rows = asked.ask("newer_than_refresh")
    without = asked.shop.titles.keys() - asked.vectors["Item"].keys()
    assert without
    assert [row["item_id"] for row in rows] == sorted(without, key=lambda i: (-asked.people[i], i))
    assert [row["people"] for row in rows] == [asked.people[row["item_id"]] for row in rows]
    assert asked.ask("newer_than_refresh", model="node2vec") == []


def test_popularity_deciles(asked: Asked) -> None:
    people, shown = asked.people, asked.exposure
    order = sorted(people, key=lambda item: (-people[item], item))
    rows = asked.ask("popularity_deciles")
    assert [row["decile"] for row in rows] == list(range(1, 11))
    for row in rows:
        members = [i for n, i in enumerate(order) if 1 + n * 10 // len(order) == row["decile"]]
        assert (row["items"], row["most_people"]) == (len(members), people[members[0]])
        share = [sum(c[i] for i in members) / sum(c.values()) for c in (people, shown)]
        assert [row["attention"], row["exposure"]] == pytest.approx(share)


def test_version_drift(asked: Asked) -> None:
    a, b, people = asked.vectors["Item"], asked.other_vectors, asked.people
    both = sorted(a.keys() & b.keys(), key=lambda item: (-people[item], item))
    for size, count in ((20, 10), (5, 10)):  # fewer items than neighbours, too
        sample = both[:size]
        rows = asked.ask("version_drift", sample=size, limit=size)
        assert {row["item_id"] for row in rows} == set(sample)
        for row in rows:
            one, two = (cosines({i: v[i] for i in sample}, row["item_id"]) for v in (a, b))
            gap = np.mean([abs(one[item] - two[item]) for item in one])
            assert row["cosine_gap"] == pytest.approx(float(gap), abs=1e-4)
            top = [{item for item, _ in best(c, count)} for c in (one, two)]
            assert row["same"] == pytest.approx(len(top[0] & top[1]) / len(top[0]), abs=0.11)
    assert {row["same"] for row in rows} == {1.0}
    assert asked.ask("version_drift", model=OTHER_MODEL) == []


# --- the whole graph --------------------------------------------------------------------------


def test_category_pairs(asked: Asked) -> None:
    members = {c: asked.shop.members[c] for c in asked.shop.parents}
    expected = {
        (one, two): (len(members[one] & members[two]),
                     len(members[one] & members[two]) / len(members[one] | members[two]))
        for one, two in combinations(sorted(members), 2) if members[one] & members[two]
    }  # fmt: skip
    rows = asked.ask("category_pairs", least_items=1)
    found = {(r["category_id"], r["other_id"]): (r["items"], r["jaccard"]) for r in rows}
    assert found.keys() == expected.keys()
    assert all(found[pair] == pytest.approx(expected[pair]) for pair in found)
    assert kinds(rows)
    assert kinds(rows, "other_id", "other_kind")


def test_communities(asked: Asked) -> None:
    follows = asked.shop.follows
    degree = {
        user: len(asked.shop.followed(user) | asked.shop.followers(user))
        for pair in follows for user in pair
    }  # fmt: skip
    order = sorted(degree, key=lambda user: (-degree[user], user))
    around = {u: asked.shop.followed(u) | asked.shop.followers(u) for u in degree}
    label = {u: next(other for other in order if other in around[u] | {u}) for u in degree}
    for _ in range(4):
        votes = {u: Counter(label[other] for other in around[u]) for u in degree}
        label = {u: min(v, key=lambda name: (-v[name], name)) for u, v in votes.items()}
    members: defaultdict[str, set[str]] = defaultdict(set)
    for user, name in label.items():
        members[name].add(user)
    rows = asked.ask("communities", limit=100)
    assert [(row["community"], row["people"]) for row in rows] == sorted(
        ((name, len(those)) for name, those in members.items()), key=lambda row: (-row[1], row[0])
    )
    for row in rows:
        those = members[row["community"]]
        out = [pair for pair in follows if pair[0] in those]
        stay = sum(pair[1] in those for pair in out) / len(out) if out else None
        assert row["inside"] == (stay if stay is None else pytest.approx(stay))
        count = Counter(item for user in those for item in asked.shop.items[user])
        titles = [asked.shop.titles[item] or item for item, _ in best(count, 3)]
        assert row["items"] == titles


def test_coverage(asked: Asked) -> None:
    rows = asked.ask("coverage")
    assert [row["model"] for row in rows] == sorted({row["model"] for row in asked.near})
    for row in rows:
        lists = [each for each in asked.near if each["model"] == row["model"]]
        shown = Counter(each["other"] for each in lists)
        assert row["lists"] == len({each["item"] for each in lists})
        assert row["reached"] == len(shown)
        assert row["share"] == pytest.approx(len(shown) / len(asked.shop.titles))
        assert row["top_share"] == pytest.approx(max(shown.values()) / len(lists))


def test_data_quality(asked: Asked) -> None:
    shop = asked.shop
    titles = Counter(title for title in shop.titles.values() if title)
    expected = {
        "item without a title": sum(not title for title in shop.titles.values()),
        "item in no category": sum(item not in shop.categories for item in shop.titles),
        "item that nobody has": sum(not people for people in shop.people.values()),
        "title of several items": sum(n > 1 for n in titles.values()),
        "user without an interaction": sum(not items for items in shop.items.values()),
        "category without an item": sum(not shop.under(c) for c in shop.parents),
    }
    rows = {row["fault"]: row for row in asked.ask("data_quality")}
    assert {fault: row["count"] for fault, row in rows.items()} == dict.fromkeys(rows, 0) | expected
    assert rows["category without an item"]["example"] == "none"
    assert rows["item without a title"]["example"] == "i1"


def test_filter_bubbles(asked: Asked) -> None:
    bits: dict[tuple[str, str], float] = {}
    shares: dict[tuple[str, str], tuple[int, float]] = {}
    for kind in ("room", "tag"):
        of = {
            item: min(c for c in categories if KIND[c] == kind)
            for item, categories in asked.shop.categories.items()
            if any(KIND[c] == kind for c in categories)
        }
        for user, items in asked.shop.items.items():
            counts = Counter(of[item] for item in items if item in of)
            if (n := counts.total()) >= 5:
                bits[user, kind] = -sum(c / n * math.log2(c / n) for c in counts.values())
                shares[user, kind] = n, max(counts.values()) / n
    rows = asked.ask("filter_bubbles", least_items=5, limit=500)
    found = {(row["user_id"], row["kind"]): row for row in rows}
    assert len(rows) == len(found)
    assert {key: row["bits"] for key, row in found.items()} == pytest.approx(bits, abs=1e-9)
    for key, row in found.items():
        assert (row["items"], row["share"]) == (shares[key][0], pytest.approx(shares[key][1]))


def test_funnel(asked: Asked) -> None:
    steps = ["View", "cart", "PURCHASE", "return", "re_fund"]
    did: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for user, item, kind in asked.shop.interactions:
        did[user, item].add(kind)
    rows = asked.ask("funnel", steps=steps)
    before = None
    for number, (row, step) in enumerate(zip(rows, steps, strict=True), start=1):
        those = {
            pair
            for pair, events in did.items()
            if {each.lower() for each in steps[:number]} <= events
        }
        assert (row["step"], row["event"], row["pairs"]) == (number, step, len(those))
        assert row["users"] == len({user for user, _ in those})
        assert row["kept"] == pytest.approx(1.0 if before is None else len(those) / (before or 1))
        before = len(those)
    assert before == 0


def test_hidden_gems(asked: Asked) -> None:
    settings = load_settings().events
    positive = {kind: max(0.0, s.weight) for kind, s in settings.items()}
    whole: Counter[str] = Counter()
    own: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (user, item, kind), weight in asked.weights.items():
        whole[user] += positive.get(kind, 0.0) * weight
        own[item][user] += positive.get(kind, 0.0) * weight
    love = {
        item: sum(of[u] / whole[u] if whole[u] else 0.0 for u in of) / len(of)
        for item, of in own.items() if 3 <= len(of) <= 10
    }  # fmt: skip
    rows = asked.ask("hidden_gems", least_people=3, most_people=10)
    assert love
    assert best(love) == pairs(rows, "item_id", "love")
    assert [row["people"] for row in rows] == [asked.people[row["item_id"]] for row in rows]


def test_influence(asked: Asked) -> None:
    shared = {}
    for user in asked.shop.users:
        followers, own = asked.shop.followers(user), asked.shop.items[user]
        if followers and own:
            both = sum(len(own & asked.shop.items[person]) for person in followers)
            shared[user] = both / len(followers) / len(own)
    rows = asked.ask("influence")
    assert best(shared) == pairs(rows, "user_id", "shared")
    for row in rows:
        assert row["followers"] == len(asked.shop.followers(row["user_id"]))
        assert row["items"] == len(asked.shop.items[row["user_id"]])


def test_odd_accounts(asked: Asked) -> None:
    share = {}
    for user in asked.shop.users:
        weight = asked.weight(user)
        if sum(weight.values()) >= 20 and len(weight) > 1:
            share[user] = max(weight.values()) / sum(weight.values())
    rows = asked.ask("odd_accounts", least_weight=20.0)
    assert best(share) == pairs(rows, "user_id", "share")
    for row in rows:
        weight = asked.weight(row["user_id"])
        assert (row["item_id"], row["items"]) == (best(weight, 1)[0][0], len(weight))
    assert {row["user_id"] for row in asked.ask("odd_accounts", least_weight=10_000.0)} == {"bot"}


def newest(events: list[Event] | tuple[Event, ...]) -> Any:
    return max(event.at for event in events)


def test_silent_users(asked: Asked) -> None:
    end = newest(asked.shop.events)
    last = {
        user: newest([event for event in asked.shop.events if event.user_id == user])
        for user, items in asked.shop.items.items() if len(items) >= 3
    }  # fmt: skip
    silent = {u: len(asked.shop.items[u]) for u, at in last.items() if at <= end - timedelta(90)}
    rows = asked.ask("silent_users", days=90, least_items=3, limit=100)
    assert best(silent, 100) == pairs(rows, "user_id", "items")
    assert all(row["last_at"].to_native() == last[row["user_id"]] for row in rows)


def test_trending(asked: Asked) -> None:
    end = newest(asked.shop.events)
    last: dict[tuple[str, str], Any] = {}
    for event in asked.shop.events:
        key = event.item_id, event.user_id
        last[key] = max(event.at, last.get(key, event.at))
    now, before = Counter[str](), Counter[str]()
    for (item, _), at in last.items():
        now[item] += at > end - timedelta(60)
        before[item] += end - timedelta(120) < at <= end - timedelta(60)
    rise = {i: (now[i] + 1) / (before[i] + 1) for i in now if now[i] + before[i]}
    order = sorted(rise, key=lambda item: (-rise[item], -now[item], item))[:20]
    rows = asked.ask("trending", days=60)
    assert [(row["item_id"], row["now"], row["before"]) for row in rows] == [
        (item, now[item], before[item]) for item in order
    ]


def test_twin_accounts(asked: Asked) -> None:
    rare: Counter[tuple[str, str]] = Counter()
    for people in asked.shop.people.values():
        if 2 <= len(people) <= 8:
            rare.update(combinations(sorted(people), 2))
    items = asked.shop.items
    jaccard = {
        (one, two): len(items[one] & items[two]) / len(items[one] | items[two])
        for (one, two), n in rare.items() if n >= 2
    }  # fmt: skip
    rows = asked.ask("twin_accounts", most_people=8, least_shared=2)
    assert jaccard
    order = sorted(jaccard, key=lambda pair: (-jaccard[pair], pair))[:20]
    assert [(row["user_id"], row["other_id"]) for row in rows] == order
    assert all(rare[row["user_id"], row["other_id"]] == row["rare"] for row in rows)


def test_versions(asked: Asked) -> None:
    rows = asked.ask("versions")
    assert {(row["model"], row["status"]) for row in rows} == {
        (model, "active") for model in ("hybrid", MODEL, OTHER_MODEL)
    }


PLANTED = """
UNWIND $rows AS row
CREATE (o:Outcome {recommendation: row[0], item_id: row[1], position: row[2], kind: row[3]})
SET o.user_id = row[4], o.version = row[5], o.at = datetime() - duration({days: row[6]}),
    o.answered_at = o.at, o.outcome_id = row[0] + row[1] + row[3]
"""


@pytest.fixture
def outcomes(asked: Asked) -> Iterator[list[tuple[Any, ...]]]:
    """Three answers of ten items, the last of a session and forty days old."""
    items = sorted(asked.shop.titles)[:10]
    rows = [
        (answer, item, place, kind, user, version, days)
        for answer, user, version, days in (
            ("r1", USER, 3, 1), ("r2", USER, 4, 2), ("r3", None, 4, 40),
        )
        for place, item in enumerate(items, start=1)
        for kind in ("impression", "click", "purchase")
        if kind == "impression" or (kind == "click" and place % (2 if answer == "r1" else 3) == 0)
        or (kind == "purchase" and place == 6)
    ]  # fmt: skip
    statement(asked.gateway, PLANTED, rows=[list(row) for row in rows])
    yield rows
    statement(asked.gateway, "MATCH (o:Outcome) DELETE o")


def test_outcome_kinds(asked: Asked, outcomes: list[tuple[Any, ...]]) -> None:
    count = Counter(kind for _, _, _, kind, *_ in outcomes)
    rows = asked.ask("outcome_kinds")
    assert [(row["kind"], row["outcomes"]) for row in rows] == count.most_common()
    assert [(row["answers"], row["users"]) for row in rows] == [(3, 1)] * 3


def test_rates(asked: Asked, outcomes: list[tuple[Any, ...]]) -> None:
    recent = [row for row in outcomes if row[6] < 30]
    for kind in ("click", "purchase"):
        shown, acted = (
            Counter(place for _, _, place, what, *_ in recent if what == wanted)
            for wanted in ("impression", kind)
        )
        rows = asked.ask("rates_by_position", kind=kind)
        assert [(r["position"], r["shown"], r["acted"]) for r in rows] == [
            (place, shown[place], acted[place]) for place in range(1, 11)
        ]
        assert all(row["rate"] == row["acted"] / row["shown"] for row in rows)
    rows = asked.ask("rates_by_version", kind="click")
    assert [(r["version"], r["scenario"], r["shown"], r["acted"]) for r in rows] == [
        (4, None, 10, 3), (3, None, 10, 5),
    ]  # fmt: skip
    assert [r["shown"] for r in asked.ask("rates_by_version", days=60)] == [20, 10]


def test_what_was_shown(asked: Asked, outcomes: list[tuple[Any, ...]]) -> None:
    recent = [row for row in outcomes if row[6] < 30]
    acted = {item for _, item, _, kind, *_ in recent if kind != "impression"}
    vain = sorted({item for _, item, *_ in recent} - acted)
    rows = asked.ask("shown_in_vain")
    assert [(row["item_id"], row["shown"], row["users"]) for row in rows] == [
        (item, 2, 1) for item in vain
    ]
    rows = asked.ask("shown_to_user", limit=100)
    told = [(r["answer"], r["position"], r["item_id"], r["kinds"]) for r in rows]
    assert told == [
        (answer, place, item, sorted(k for a, i, _, k, *_ in outcomes if (a, i) == (answer, item)))
        for answer in ("r1", "r2")
        for place, item in enumerate(sorted(asked.shop.titles)[:10], start=1)
    ]
    assert all(row["title"] == (asked.shop.titles[row["item_id"]] or None) for row in rows)


def test_every_question_can_be_asked_about_anybody_and_nothing(asked: Asked) -> None:
    for question in questions():
        for user, item, model in (
            ("only follows", "i88", MODEL), ("only returns", "i86", OTHER_MODEL),
            ("nobody", "nothing", "none"), ("bot", "i29", MODEL),
        ):  # fmt: skip
            given = {"user_id": user, "other_id": USER, "item_id": item, "model": model}
            some = {key: value for key, value in given.items() if key in question.query.params}
            rows = asked.ask(question.name, **some)
            if user == "nobody" and some.keys() & {"user_id", "item_id"}:
                assert rows == []


def test_queries_of_the_guide(asked: Asked) -> None:
    users, shop = asked.vectors["User"], asked.shop
    found: dict[str, list[Row]] = {}
    for page in ("README.md", "docs/analysts.md", "docs/neo4j.md"):
        text = (CHECKOUT / page).read_text(encoding="utf-8")
        for block in re.findall(r"```cypher\n(.*?)```", text, re.DOTALL):
            ours = block.replace("lightgcn", MODEL).replace("'2'", f"'{USER}'")
            query = Query("tests/guide", "", "read", {}, {}, ours.replace("'289'", f"'{ITEM}'"))
            for row in asked.gateway.run(query):
                found.setdefault(" ".join(row), []).append(row)
    near_item = [row for row in asked.near if (row["model"], row["item"]) == (MODEL, ITEM)]
    drawn = [
        (USER, item, row["other"], kind)
        for item, _ in best(asked.weight(USER), 6)
        for user, mine, kind in shop.interactions if (user, mine) == (USER, item)
        for row in asked.near
        if (row["model"], row["item"]) == (MODEL, item) and row["rank"] <= 3
    ]  # fmt: skip
    paths = [row["path"] for row in found["path"]]
    told = [(*ids(path), path.relationships[0]["event"]) for path in paths]
    assert sorted(told) == sorted(drawn * 2)  # README and the page of analysts
    assert {path.relationships[1]["model"] for path in paths} == {MODEL}
    assert [(row["rank"], row["item_id"], row["title"]) for row in found[
        "rank item_id title cosine"
    ]] == [(row["rank"], row["other"], shop.titles[row["other"]] or None) for row in
           sorted(near_item, key=lambda row: row["rank"])]  # fmt: skip
    neighbours = found["user_id cosine items_in_common"]
    near(neighbours, "user_id", dict(best(cosines(users, USER), len(neighbours))))
    for row in neighbours:
        assert row["items_in_common"] == len(shop.items[USER] & shop.items[row["user_id"]])
    (versions,) = (rows for told, rows in found.items() if told.startswith("model version"))
    assert versions == asked.ask("versions")
    assert len(found) == 4


def test_every_question_is_asked() -> None:
    elsewhere = {"score_user"}  # test_odd_shop_routes.py, against the service
    assert {question.name for question in questions()} == ASKED | elsewhere
