"""What all questions of the analysts have in common, those of outcomes, and those of the guide."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from loaders.catalogue import Query
from loaders.gateway import Row
from recsvc.analyst.notebook import notebook
from recsvc.analyst.questions import questions
from tests.conftest import CHECKOUT
from tests.odd_shop_asked import (
    ITEM,
    MODEL,
    OTHER_MODEL,
    USER,
    Asked,
    best,
    cosines,
    ids,
    near,
)
from tests.statement import statement

pytestmark = pytest.mark.neo4j

ASKED = {
    name
    for path in Path(__file__).parent.glob("test_*.py")
    for name in re.findall(r'ask(?:_planted)?\("(\w+)"', path.read_text(encoding="utf-8"))
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
    # Variants of two experiments may have one name.
    name = (
        "MATCH (o:Outcome {version: 3}) "
        "SET o.variant = 'now', o.experiment = CASE WHEN o.position > 4 THEN 'a' ELSE 'b' END"
    )
    statement(asked.gateway, name)
    rows = asked.ask("rates_by_version")
    assert [(r["experiment"], r["variant"], r["shown"]) for r in rows] == [
        (None, None, 10), ("a", "now", 6), ("b", "now", 4),
    ]  # fmt: skip


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
    rows_of: dict[str, list[Row]] = {}
    for page in ("README.md", "docs/analysts.md", "docs/neo4j.md"):
        text = (CHECKOUT / page).read_text(encoding="utf-8")
        for block in re.findall(r"```cypher\n(.*?)```", text, re.DOTALL):
            ours = block.replace("lightgcn", MODEL).replace("'2'", f"'{USER}'")
            query = Query("tests/guide", "", "read", {}, {}, ours.replace("'289'", f"'{ITEM}'"))
            for row in asked.gateway.run(query):
                rows_of.setdefault(" ".join(row), []).append(row)
    near_item = [row for row in asked.near if (row["model"], row["item"]) == (MODEL, ITEM)]
    drawn = [
        (USER, item, row["other"], kind)
        for item, _ in best(asked.weight(USER), 6)
        for user, mine, kind in shop.interactions if (user, mine) == (USER, item)
        for row in asked.near
        if (row["model"], row["item"]) == (MODEL, item) and row["rank"] <= 3
    ]  # fmt: skip
    paths = [row["path"] for row in rows_of["path"]]
    told = [(*ids(path), path.relationships[0]["event"]) for path in paths]
    assert sorted(told) == sorted(drawn * 2)  # README and the page of analysts
    assert {path.relationships[1]["model"] for path in paths} == {MODEL}
    assert [(row["rank"], row["item_id"], row["title"]) for row in rows_of[
        "rank item_id title cosine"
    ]] == [(row["rank"], row["other"], shop.titles[row["other"]] or None) for row in
           sorted(near_item, key=lambda row: row["rank"])]  # fmt: skip
    neighbours = rows_of["user_id cosine items_in_common"]
    near(neighbours, "user_id", dict(best(cosines(users, USER), len(neighbours))))
    for row in neighbours:
        assert row["items_in_common"] == len(shop.items[USER] & shop.items[row["user_id"]])
    (versions,) = (rows for told, rows in rows_of.items() if told.startswith("model version"))
    assert versions == asked.ask("versions")
    assert len(rows_of) == 4


def test_every_answer_is_bounded(asked: Asked) -> None:
    for question in questions():
        if "limit" in question.query.params and question.name not in ("why_item", "connections"):
            rows = asked.ask(question.name, limit=2)
            assert len(rows) <= (6 if question.name == "draw_user" else 2), question.name


@pytest.mark.long
def test_the_notebook_runs_and_shows_the_answers(
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    address = asked.gateway.address
    server = {"URI": address.uri, "USER": address.user, "PASSWORD": address.password}
    for name, value in server.items():
        monkeypatch.setenv(f"RECSVC_NEO4J_{name}", value)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    text = notebook(questions(), asked.values)
    read = nbformat.reads(text, as_version=4)
    document = NotebookClient(read, timeout=600, startup_timeout=600).execute()
    cells = [cell for cell in document.cells if cell.source.startswith("ask(")]
    for question, cell in zip(questions(), cells, strict=True):
        *said, table = cell.outputs
        shape = re.search(r"shape: \((\d+), (\d+)\)", table.data["text/plain"])
        assert shape, question.name
        rows = asked.ask(question.name)
        assert (int(shape[1]), int(shape[2])) == (len(rows), len(question.query.returns))
        assert "".join(each.text for each in said).strip() == ("" if rows else question.empty)


def test_every_question_is_asked() -> None:
    elsewhere = {"score_user"}  # test_odd_shop_routes.py, against the service
    assert {question.name for question in questions()} == ASKED | elsewhere
