"""The rows of tests/hostile_corpus.json in a real graph: each is there exactly, or was rejected."""

import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.tables import INTERACTIONS, FolderTables, InteractionTotals

pytestmark = pytest.mark.neo4j

CORPUS = json.loads((Path(__file__).parents[1] / "hostile_corpus.json").read_text())["rows"]
STORED = Query(
    "tests/stored", "Every interaction as it is stored.", "read", {}, {"row": "map"},
    "MATCH (u:User)-[r:INTERACTED]->(i:Item) "
    "RETURN r {.*, user_id: u.user_id, item_id: i.item_id} AS row",
)  # fmt: skip


def cell_of(given: Any) -> bytes:
    if isinstance(given, str):
        return json.dumps(given, ensure_ascii=False).encode()
    if "hex" in given:
        return b'"' + bytes.fromhex(given["hex"]) + b'"'
    return json.dumps(given["text"] * given["times"]).encode()


def write_json_lines(path: Path) -> None:
    rows = [
        b"{" + b",".join(f'"{n}":'.encode() + cell_of(c) for n, c in row["cells"].items()) + b"}"
        for row in CORPUS
    ]
    path.write_bytes(b"\n".join(rows))


def test_each_row_is_in_the_graph_exactly(gateway: Neo4jGateway, tmp_path: Path) -> None:
    write_json_lines(tmp_path / "interactions.jsonl")
    report = ingest(gateway, FolderTables(tmp_path), rejects=tmp_path / "rejects.csv")
    expected_rejects = sum(
        bool({"all", "jsonl"} & row.get("rejected", {}).keys()) for row in CORPUS
    )
    assert report.rejected == expected_rejects > 0
    assert report.tables["interactions"].read == len(CORPUS)

    with InteractionTotals() as totals:
        for batch in FolderTables(tmp_path).batches(INTERACTIONS, lambda _rejected: None):
            totals.add(batch)
        expected = {key(row): row for row in totals.frame().iter_rows(named=True)}
    stored = {key(row): row for row in (found["row"] for found in gateway.run(STORED))}
    assert stored.keys() == expected.keys()
    for found, row in ((stored[k], expected[k]) for k in expected):
        assert plain(found) == {n: v for n, v in row.items() if v is not None}


def test_the_same_rows_again_change_nothing(gateway: Neo4jGateway, tmp_path: Path) -> None:
    write_json_lines(tmp_path / "interactions.jsonl")
    before: list[Any] | None = None
    for _ in range(2):
        ingest(gateway, FolderTables(tmp_path), rejects=tmp_path / "rejects.csv")
        rows = sorted((plain(found["row"]) for found in gateway.run(STORED)), key=key)
        assert before is None or rows == before
        before = rows


def key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["user_id"], row["item_id"], row["event"]


def plain(stored: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.to_native().astimezone(UTC) if name.endswith("_at") else value
        for name, value in stored.items()
    }
