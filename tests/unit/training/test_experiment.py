"""`evaluate`: both protocols, and that the answers are looked at once, at the end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from loaders.errors import TableError
from recsvc.evaluation.beyond_accuracy import diversity
from recsvc.evaluation.groups import METRICS
from recsvc.evaluation.held_out import TestCounts
from recsvc.evaluation.metrics import Ranking, bootstrap, evaluate
from recsvc.settings import EventSettings, Settings
from recsvc.training.experiment import (
    RANKING_FORMS,
    Ranked,
    TrialData,
    TrialOptions,
    rank_fitted,
    read_training_data,
    read_trial,
    write_rankings,
)
from recsvc.training.measure import measure
from recsvc.training.published import data_sha256
from tests.unit.made_tables import training_graph, write_tables

EVENTS = Settings().events


@pytest.fixture
def data(tmp_path: Path) -> TrialData:
    return read_trial(*write_tables(tmp_path), None, EVENTS)


def test_the_validated_protocol_beats_popularity(data: TrialData) -> None:
    ranked = [rank_fitted(name, data, TrialOptions(trials=3)) for name in ("walk3", "popularity")]
    measured = measure(ranked, data)
    assert ranked[0].details["trials"] == 3
    assert measured.evaluations["walk3"].estimates["recall@20"].mean > 0.7
    assert measured.difference is not None
    assert measured.difference["recall@20"].low > 0.0
    walk, popular = (measured.evaluations[name].per_user["ndcg@5"] for name in measured.evaluations)
    assert measured.difference["ndcg@5"].mean == pytest.approx((walk - popular).mean())


def test_popularity_is_as_good_as_the_popular_list_in_every_group(data: TrialData) -> None:
    measured = measure([rank_fitted("popularity", data, TrialOptions(trials=1))], data)
    assert measured.difference is None
    found = measured.groups["popularity"]
    for users in (found.by_items_known, found.cold_users):
        assert sum(group.users for group in users) == len(data.users)
        assert {group.difference[metric].mean for group in users for metric in METRICS} == {0.0}
    for items in (found.by_people, found.cold_items):
        assert sum(group.pairs for group in items) == data.counts.to_find
        assert all(group.model == group.popularity for group in items)


def test_the_best_part_of_a_blend_is_one_of_its_signals(data: TrialData) -> None:
    """A signal alone ranks as the model that it comes from, but for what popularity decides."""
    options = TrialOptions(trials=1, assignments=("hybrid.models=walk3",))
    blend, walk = (rank_fitted(name, data, options) for name in ("hybrid", "walk3"))
    assert {"walk3", "pagerank"} <= set(blend.parts)
    assert (blend.parts["walk3"].items == walk.ranking.items[:, :20]).mean() > 0.99
    for group in measure([blend], data).groups["hybrid"].by_items_known:
        assert group.best_part in blend.parts
        assert group.part.keys() == set(METRICS)


def test_what_is_not_available_is_on_no_list(data: TrialData, tmp_path: Path) -> None:
    ranked = rank_fitted("popularity", data, TrialOptions())
    best = data.graph.items[int(ranked.ranking.items[0, 0])]
    side = tmp_path / "side"
    side.mkdir()
    (side / "items.csv").write_text(f"item_id,available\n{best},false\n")
    files = (tmp_path / "interactions.csv", tmp_path / "test.csv")
    hidden = read_trial(*files, str(side), EVENTS)
    assert np.flatnonzero(~hidden.available).tolist() == [hidden.graph.items.row(best)]
    lists = rank_fitted("popularity", hidden, TrialOptions()).ranking.items
    assert hidden.graph.items.row(best) not in lists


@pytest.mark.parametrize("model", ["walk3", "mf"])
def test_the_answers_change_no_ranking(data: TrialData, model: str) -> None:
    assignments = ("mf.epochs=2", "mf.dimensions=4")
    options = TrialOptions(trials=2, assignments=assignments)
    shuffled = replace(data, held_out=sp.csr_matrix(data.held_out.toarray()[::-1].copy()))
    one, two = (rank_fitted(model, each, options) for each in (data, shuffled))
    np.testing.assert_array_equal(one.ranking.items, two.ranking.items)
    assert one.details["options"] == two.details["options"]


def test_the_published_protocol_takes_the_shipped_configuration(
    data: TrialData, tmp_path: Path
) -> None:
    shipped = tmp_path / "published.toml"
    shipped.write_text(
        f"""[[data_set]]
        name = "Made"
        sha256 = "{data_sha256(training_graph(tmp_path))}"
        models.walk3 = {{ source = "a table", options = {{ alpha = 0.9 }} }}
        models.mf = {{ source = "a table", options = {{ dimensions = 4 }}, epochs = 3 }}
        """
    )
    options = TrialOptions("published", published=shipped)
    walk = rank_fitted("walk3", data, options).details
    assert walk["options"]["alpha"] == 0.9
    assert (walk["data_set"], walk["source"]) == ("Made", "a table")
    assert "validation_ndcg@20" not in walk
    assert rank_fitted("mf", data, options).details["epochs"] == 3
    given = rank_fitted("walk3", data, replace(options, assignments=("alpha=0.5",))).details
    assert given["options"]["alpha"] == 0.5


def test_what_was_disliked_is_not_recommended(tmp_path: Path) -> None:
    train, test = write_tables(tmp_path)
    events = {"interaction": EventSettings(), "bad": EventSettings(weight=-1.0)}
    rows = train.read_text().splitlines()
    lines = [rows[0] + ",event", *(f"{row},interaction" for row in rows[1:]), "u000,i033,bad"]
    train.write_text("\n".join(lines) + "\n")
    data = read_trial(train, test, None, events)
    disliked = data.graph.items.row("i033")
    lists = rank_fitted("popularity", data, TrialOptions()).ranking
    asker = data.graph.users.row("u000")
    assert disliked not in lists.items[lists.user_index == asker]
    assert disliked in lists.items[lists.user_index != asker]


def trial_of(folder: Path, *rows: str) -> TrialData:
    """The training table, and a test table of these rows of user, item, event."""
    train, test = write_tables(folder)
    test.write_text("\n".join(["user_id,item_id,event", *rows]) + "\n")
    return read_trial(train, test, None, EVENTS)


def unseen(folder: Path, count: int) -> list[str]:
    """Items that u000 does not have in train."""
    graph = read_training_data(write_tables(folder)[0], None, EVENTS).graph
    did = graph.interactions
    own = set(did.item_index[did.user_index == graph.users.row("u000")].tolist())
    return [item for row, item in enumerate(graph.items) if row not in own][:count]


@pytest.mark.parametrize("model", ["lightgcn", "walk3", "popularity"])
def test_items_that_only_the_test_table_names_are_missed(tmp_path: Path, model: str) -> None:
    """Also by a model that gives every item a vector, and with all of them as candidates."""
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    users = [f"u{n}" for n in range(12)]
    train.write_text("user_id,item_id\n" + "".join(f"{u},i{n}\n" for u in users for n in range(8)))
    test.write_text("user_id,item_id\n" + "".join(f"{u},new{n}\n" for u in users for n in range(3)))
    data = read_trial(train, test, None, EVENTS)
    assert (data.counts.to_find, data.counts.unknown_items) == (36, 36)
    options = TrialOptions("validated", assignments=(f"{model}.epochs=2",) * (model == "lightgcn"))
    ranked = rank_fitted(model, data, options)
    found = measure([ranked], data).evaluations[model].estimates
    assert {found[name].mean for name in ("recall@10", "hit_rate@50", "ndcg@20")} == {0.0}


def test_half_of_the_items_unknown_is_half_missed(tmp_path: Path) -> None:
    (item,) = unseen(tmp_path, 1)
    data = trial_of(tmp_path, f"u000,{item},interaction", "u000,never seen,interaction")
    every = Ranking(
        data.users, np.arange(len(data.graph.items))[None], np.zeros((1, 1), np.float32)
    )
    found = measure([Ranked("all", every)], data).evaluations["all"]
    assert len(data.graph.items) == 60
    assert found.estimates["recall@50"].mean in (0.0, 0.5)
    assert (data.counts.to_find, data.counts.unknown_items) == (2, 1)


def test_what_is_not_to_be_found_is_left_out_and_counted(tmp_path: Path) -> None:
    a, b, c, d, e, f = unseen(tmp_path, 6)
    seen = next(i for i in (f"i{n:03}" for n in range(60)) if i not in unseen(tmp_path, 60))
    data = trial_of(
        tmp_path,
        f"u000,{a},purchase", f"u000,{a},view",  # one pair
        f"u000,{b},dislike", f"u000,{c},borrowed", f"u000,{seen},purchase",
        f"u000,{d},purchase", f"u000,{d},return",  # adds up to nothing
        f"u000,{e},view", f"u000,{e},return",  # speaks against it
        f"u000,{f},Purchase", f"stranger,{a},purchase", f"other,{a},dislike",
    )  # fmt: skip
    assert data.counts == TestCounts(
        to_find=2, unknown_items=0, unknown_users=2, in_train=1, against=2, without_weight=2
    )
    assert data.unknown_kinds == ["borrowed"]
    user, item = data.held_out.nonzero()
    pairs = [(data.graph.users[u], data.graph.items[i]) for u, i in zip(user, item, strict=True)]
    assert sorted(pairs) == sorted([("u000", a), ("u000", f)])
    assert data.held_out.shape == (len(data.graph.users), len(data.graph.items))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("", "it has none"),
        ("stranger,i000,", "1 of users who are not in the training table"),
        ("u000,never seen,return", "1 that speak against the item"),
        ("u000,never seen,borrowed", "1 that count nothing"),
    ],
)
def test_nothing_to_find_is_refused_with_its_reason(tmp_path: Path, row: str, reason: str) -> None:
    with pytest.raises(TableError, match=f"no pair of the test table is to be found: {reason}"):
        trial_of(tmp_path, row)


@pytest.mark.parametrize("suffix", RANKING_FORMS)
def test_the_file_of_recommendations_holds_the_ranking(
    data: TrialData, tmp_path: Path, suffix: str
) -> None:
    users = np.array([1, 0])
    items = np.array([[2, 0, -1], [5, 1, 3]])
    scores = np.array([[2.0, 1.0, -np.inf], [3.0, 2.0, 1.0]], np.float32)
    file = tmp_path / f"lists{suffix}"
    write_rankings(Ranked("x", Ranking(users, items, scores)), data.graph, file)
    read = {
        ".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson,
        ".json": pl.read_json,
    }  # fmt: skip
    table = read[suffix](file)
    assert table.columns == ["user_id", "item_id", "rank", "score"]
    assert table.height == 5
    first = table.filter(pl.col("user_id") == data.graph.users[1])
    assert first["item_id"].to_list() == [data.graph.items[2], data.graph.items[0]]
    assert first["rank"].to_list() == [1, 2]


def test_follows_and_categories_need_no_interactions_beside_them(tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("user_id,item_id\na,x\na,y\nb,x\n", encoding="utf-8")
    test.write_text("user_id,item_id\nb,y\n", encoding="utf-8")
    side = tmp_path / "side"
    side.mkdir()
    with pytest.raises(TableError, match=r"side holds no table: expected files named after"):
        read_trial(train, test, str(side), EVENTS)
    (side / "follows.csv").write_text("follower_id,followee_id\na,b\n", encoding="utf-8")
    assert len(read_trial(train, test, str(side), EVENTS).graph.follows) == 1


def test_measure_is_evaluate(data: TrialData) -> None:
    ranked = rank_fitted("popularity", data, TrialOptions())
    found = measure([ranked], data).evaluations["popularity"]
    plain = evaluate(ranked.ranking, data.held_out, data.evidence)
    own = diversity(ranked.ranking.items, data.evidence)
    assert found.estimates == {**plain.estimates, **bootstrap(own, 1000, seed=0)}


def test_cold_users_and_items_have_fewer_than_five(tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    rows = [f"u{n},i{k}" for n in range(8) for k in range(4 + (n < 3))]  # i4 has three people
    train.write_text("\n".join(["user_id,item_id", *rows]) + "\n")
    answers = [*(f"u{n},i4" for n in range(3, 8)), "u0,new"]
    test.write_text("\n".join(["user_id,item_id", *answers]) + "\n")
    data = read_trial(train, test, None, EVENTS)
    (groups,) = measure([rank_fitted("popularity", data, TrialOptions())], data).groups.values()
    assert [(g.group, g.users) for g in groups.cold_users] == [("0 to 4", 5), ("5 and more", 1)]
    assert [(g.group, g.items, g.pairs) for g in groups.cold_items] == [
        ("0 to 4", 2, 6), ("5 and more", 4, 0),
    ]  # fmt: skip
    assert groups.cold_items[0].model.recall == pytest.approx(5 / 6)
    assert [g.model["recall@20"].mean for g in groups.cold_users] == [1.0, 0.0]
