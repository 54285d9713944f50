"""`evaluate`: both protocols, and that the answers are looked at once, at the end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from loaders.errors import TableError
from recsvc.evaluation import Ranking, evaluate
from recsvc.published import data_sha256
from recsvc.settings import EventSettings, Settings
from recsvc.trial import (
    Ranked,
    TrialData,
    TrialOptions,
    measure,
    rank_fitted,
    read_training_data,
    read_trial,
    recommendations_table,
)
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


def test_one_model_has_no_difference(data: TrialData) -> None:
    assert measure([rank_fitted("popularity", data, TrialOptions())], data).difference is None


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


def test_only_the_items_of_the_test_table_that_are_known_can_be_found(tmp_path: Path) -> None:
    train, test = write_tables(tmp_path)
    test.write_text("user_id,item_id\nu000,never seen\nstranger,i000\n")
    data = read_trial(train, test, None, EVENTS)
    assert [data.graph.users[user] for user in data.users.tolist()] == ["u000"]
    assert len(data.graph.items) == len(read_training_data(train, None, EVENTS).graph.items) + 1
    found = measure([rank_fitted("popularity", data, TrialOptions())], data)
    assert found.evaluations["popularity"].estimates["recall@50"].mean < 1.0


def test_nobody_in_common_is_refused(tmp_path: Path) -> None:
    train, test = write_tables(tmp_path)
    test.write_text("user_id,item_id\nstranger,i000\n")
    with pytest.raises(TableError, match="no user of the test table"):
        read_trial(train, test, None, EVENTS)


def test_the_table_of_recommendations_holds_the_ranking(data: TrialData) -> None:
    users = np.array([1, 0])
    items = np.array([[2, 0, -1], [5, 1, 3]])
    scores = np.array([[2.0, 1.0, -np.inf], [3.0, 2.0, 1.0]], np.float32)
    table = recommendations_table(Ranked("x", Ranking(users, items, scores)), data.graph)
    assert table.columns == ["user_id", "item_id", "rank", "score"]
    assert table.height == 5
    first = table.filter(pl.col("user_id") == data.graph.users[1])
    assert first["item_id"].to_list() == [data.graph.items[2], data.graph.items[0]]
    assert first["rank"].to_list() == [1, 2]


def test_measure_is_evaluate(data: TrialData) -> None:
    ranked = rank_fitted("popularity", data, TrialOptions())
    found = measure([ranked], data).evaluations["popularity"]
    assert found.estimates == evaluate(ranked.ranking, data.held_out, data.evidence).estimates
