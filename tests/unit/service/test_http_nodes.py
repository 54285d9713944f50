import json
import sys
from datetime import UTC, datetime
from typing import Any

import httpx
import polars as pl
import pytest
from pydantic import ValidationError

from loaders.errors import TableError
from loaders.limits import MAX_LINKS, MAX_LIST, MAX_PROPERTIES
from loaders.tables import ITEMS, as_table
from recsvc.graph.rows import StoredNode
from recsvc.recommend.graph_writer import DropFollow, PutFollow, PutNode
from recsvc.service.bodies import CategoryIn, ItemIn, UserIn
from recsvc.service.documents import CategoryDocument, ItemDocument, UserDocument, WrittenDocument
from tests.unit.service.fake_engine import FakeEngine


async def test_an_item_arrives_with_properties_and_links(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    body = {
        "item_id": 55,
        "title": 1984,
        "created_at": "2007-10-25T02:00:00+02:00",
        "available": 0,
        "price": 9.5,
        "tags": ["a", "b"],
        "empty": "",
        "none": None,
        "categories": [24, "25", {"category_id": "26", "weight": "2.5"}],
    }
    response = await client.put("/v1/items/55", json=body)
    assert response.status_code == 201
    assert WrittenDocument.model_validate(response.json()).made
    properties = {
        "title": "1984",
        "created_at": datetime(2007, 10, 25, tzinfo=UTC),
        "available": False,
        "price": 9.5,
        "tags": ["a", "b"],
    }
    links = (("24", 1.0), ("25", 1.0), ("26", 2.5))
    assert fake.calls == [("change", PutNode("item", "55", properties, links))]


async def test_links_that_are_left_out_stay(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    fake.outcome = "kept"
    for path in ("users/2", "items/2", "categories/2"):
        response = await client.put(f"/v1/{path}", json={})
        assert (response.status_code, response.json()) == (200, {"id": "2", "made": False})
    assert [call[1].links for call in fake.calls] == [None] * 3
    await client.put("/v1/users/2", json={"preferences": []})
    await client.put("/v1/categories/2", json={"parent_id": None})
    await client.put("/v1/categories/2", json={"parent_id": 7})
    await client.put("/v1/categories/2", json={"parent_id": ["8", "9"]})
    links = [call[1].links for call in fake.calls[3:]]
    assert links == [(), (), (("7", 1.0),), (("8", 1.0), ("9", 1.0))]


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("users/2", {"user_id": "3"}),
    ("items/2", {"title": True}),
    ("items/2", {"title": ["a"]}),
    ("items/2", {"created_at": "yesterday"}),
    ("items/2", {"available": "perhaps"}),
    ("items/2", {"available": 2}),
    ("items/2", {"available": []}),
    ("items/2", {"available": {}}),
    ("items/2", {"available": [True]}),
    ("items/2", {"available": 1.5}),
    ("items/2", {"title": []}),
    ("items/2", {"created_at": []}),
    ("items/2", {"created_at": {}}),
    ("items/2", {"created_at": 2023}),
    ("items/2", {"created_at": "2090-01-01"}),
    ("items/2", {"item_id": 9007199254740993.0}),
    ("items/2", {"categories": [9007199254740993.0]}),
    ("items/2", {"categories": [{"category_id": "1", "weight": 1e39}]}),
    ("items/2", {"categories": [{"category_id": "1", "weight": []}]}),
    ("users/2", {"preferences": [{"category_id": "1", "weight": -1_000_001}]}),
    ("categories/2", {"kind": "x" * 101}),
    ("categories/2", {"parent_id": 9007199254740993.0}),
    ("categories/2", {"parent_id": {}}),
    ("users/2/follows/3", {"since": "9999-12-31"}),
    ("users/2/follows/3", {"since": 44927.5}),
    ("items/2", {"embedding_lightgcn_a": [1.0]}),
    ("items/2", {"": 1}),
    ("items/2", {"nul\0": 1}),
    ("items/2", {"x" * 513: 1}),
    ("items/2", {"price": 2**63}),
    ("items/2", {"price": {"amount": 1}}),
    ("items/2", {"tags": ["a", 1]}),
    ("items/2", {"tags": [True, 1]}),
    ("items/2", {"tags": ["a", None]}),
    ("items/2", {"tags": [["a"]]}),
    ("items/2", {"tags": ["a"] * 1001}),
    ("items/2", {"categories": None}),
    ("items/2", {"categories": [""]}),
    ("items/2", {"categories": [{"category_id": "1", "weight": "much"}]}),
    ("items/2", {"categories": [{"category_id": "1", "other": 1}]}),
    ("items/2", {"categories": ["1"] * (MAX_LINKS + 1)}),
    ("users/2", {f"p{n}": 1 for n in range(MAX_PROPERTIES + 1)}),
    ("categories/2", {"other": 1}),
    ("categories/2", {"parent_id": "2"}),
    ("categories/2", {"parent_id": ["1", "2"]}),
    ("users/2/follows/3", {"since": "yesterday"}),
    ("users/2/follows/2", {}),
]


@pytest.mark.parametrize(("path", "body"), REFUSED)
async def test_what_the_graph_cannot_hold_is_refused(
    client: httpx.AsyncClient, fake: FakeEngine, path: str, body: dict[str, Any]
) -> None:
    response = await client.put(f"/v1/{path}", json=body)
    assert response.status_code == 422
    assert response.json()["errors"]
    assert fake.calls == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
async def test_numbers_are_finite(client: httpx.AsyncClient, number: str) -> None:
    headers = {"Content-Type": "application/json"}
    for value in (number, f"[{number}]"):
        content = f'{{"price": {value}}}'
        response = await client.put("/v1/items/2", content=content, headers=headers)
        assert response.status_code == 422


@pytest.mark.parametrize("model", [UserIn, ItemIn, CategoryIn])
def test_the_example_of_a_body_can_be_sent(model: type[ItemIn]) -> None:
    for example in model.model_json_schema()["examples"]:
        model.model_validate(json.loads(json.dumps(example))).change("x")


def test_a_list_of_numbers_has_one_type() -> None:
    properties = ItemIn.model_validate({"a": [1, 2.5], "b": [1, 2], "c": []}).change("i").properties
    assert properties == {"a": [1.0, 2.5], "b": [1, 2], "c": []}
    assert [type(value) for value in properties["a"]] == [float, float]


@pytest.mark.parametrize(
    "values",
    [
        [1, 2**63], [2**63, 0.5], [10**400, 0.5], [0.5, float("nan")], [1, float("inf")],
        ["a", "\ud800", "\udc00"], [True, 1], ["1", 1], [[1]], [None],
    ],
)  # fmt: skip
def test_one_wrong_value_of_a_list_is_refused(values: list[Any]) -> None:
    with pytest.raises(ValidationError):
        ItemIn.model_validate({"a": values})


@pytest.mark.parametrize("value", ["text", "ä", 5, 0.5, True])
def test_a_long_list_is_looked_at_as_a_whole(value: Any) -> None:
    """The event loop waits for that: 200 such lists may come in one body."""

    def calls(length: int) -> int:
        events: list[str] = []
        sys.setprofile(lambda _frame, event, _what: events.append(event))
        try:
            found = ItemIn.model_validate({"a": [value] * length})
        finally:
            sys.setprofile(None)
        assert found.change("i").properties == {"a": [value] * length}
        return events.count("call")

    assert calls(MAX_LIST) <= calls(10) + 10


async def test_nodes_are_read_as_they_can_be_written(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    links = [{"category_id": "24", "weight": 1.0}]
    user = (await client.get("/v1/users/2")).json()
    assert user == {"user_id": "2", "name": "A name", "preferences": links}
    UserDocument.model_validate(user)
    item = (await client.get("/v1/items/2")).json()
    assert item == {"item_id": "2", "name": "A name", "categories": links}
    ItemDocument.model_validate(item)
    for links_, parent_id in (
        ([], None),
        ([("7", 1.0)], "7"),
        ([("7", 1.0), ("8", 1.0)], ["7", "8"]),
    ):
        fake.stored = StoredNode({"kind": "tag"}, links_)
        category = (await client.get("/v1/categories/2")).json()
        assert category == {"category_id": "2", "kind": "tag", "parent_id": parent_id}
        CategoryDocument.model_validate(category)
    for path, document in (("users", user), ("items", item), ("categories", category)):
        assert (await client.put(f"/v1/{path}/2", json=document)).is_success


@pytest.mark.parametrize(
    ("path", "kind"), [("users", "user"), ("items", "item"), ("categories", "category")]
)
async def test_a_deletion_answers_nothing(
    client: httpx.AsyncClient, fake: FakeEngine, path: str, kind: str
) -> None:
    response = await client.delete(f"/v1/{path}/a%2Fb")
    assert (response.status_code, response.content) == (204, b"")
    assert fake.calls == [("delete", kind, "a/b")]


async def test_follows(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    made = await client.put("/v1/users/2/follows/3", json={"since": 86400})
    assert (made.status_code, made.json()) == (201, {"id": "3", "made": True})
    fake.outcome = "kept"
    assert (await client.put("/v1/users/2/follows/3")).status_code == 200
    fake.outcome = "removed"
    assert (await client.delete("/v1/users/2/follows/3")).status_code == 204
    since = datetime(1970, 1, 2, tzinfo=UTC)
    assert [call[1] for call in fake.calls] == [
        PutFollow("2", "3", since), PutFollow("2", "3"), DropFollow("2", "3"),
    ]  # fmt: skip
    fake.outcome = "missing"
    for method in ("PUT", "DELETE"):
        response = await client.request(method, "/v1/users/2/follows/3")
        assert response.status_code == 404
        assert "'3'" in response.json()["detail"]


CELLS: dict[str, list[object]] = {
    "available": ["true", "YES", " no ", "", "maybe", 0, 1, 2, True, "1", None],
    "title": ["", " x ", 7, 2.0, "nul\0", None],
    "created_at": [
        *("2020-01-01", "2020-01-01T00:00+01:00", 0, "1e3", "", "x", None, 1e300),
        *("20200101", 20200101, 20201301, "20200101T101010Z", "2090-01-01", 86_400, 86_399.9),
    ],
}


@pytest.mark.parametrize(
    ("field", "cell"), [(field, cell) for field, cells in CELLS.items() for cell in cells]
)
def test_cells_are_those_of_the_tables(field: str, cell: object) -> None:
    try:
        frame = as_table(ITEMS, pl.DataFrame({"item_id": ["i"], field: [cell]}))
        expected = {k: v for k, v in frame.row(0, named=True).items() if v is not None}
    except TableError:
        expected = None
    try:
        change = ItemIn.model_validate({field: cell}).change("i")
        found = {"item_id": "i", **change.properties}
    except ValidationError:
        found = None
    assert found == expected
