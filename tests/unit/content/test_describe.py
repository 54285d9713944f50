"""From tables to vectors: what is encoded, what is kept, and what is never read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.tables import FolderTables, Rejected, graph_from_tables
from loaders.types import HeteroGraph
from recsvc.content.describe import Describing
from recsvc.content.kept_vectors import forget_content, keep_only, read_kept
from recsvc.content.options import ContentSource
from recsvc.errors import TrainingError
from recsvc.evaluation.splits import id_numbers
from tests.unit.content import encoding

WORDS = "tests.unit.content.encoding:words"


@pytest.fixture(autouse=True)
def asked() -> Iterator[list[Any]]:
    encoding.ASKED.clear()
    yield encoding.ASKED
    encoding.ASKED.clear()


def write(folder: Path, **tables: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


ITEMS = """item_id,title,text
a,Red shoes,"<b>Leather</b> shoes"
b,Red shoes,Leather shoes
c,Piano,grand
d,,
"""
SHOP = {
    "interactions": "user_id,item_id\nu,a\nv,c\n",
    "items": ITEMS,
    "users": "user_id,name,about\nu,Ann,shoes\nv,Bob,\n",
    "categories": "category_id,name\nm,music\nw,wear\n",
    "item_categories": "item_id,category_id,weight\nc,m,1\nb,w,1\nd,m,2\nd,w,1\n",
}


def refuse(rejected: Rejected) -> None:
    pytest.fail(str(rejected))


def described(home: Path, tables: dict[str, str] = SHOP, **source: Any) -> HeteroGraph:
    folder = write(home / "tables", **tables)
    given = ContentSource(encoder=WORDS, **source)
    found = FolderTables(folder)
    graph = graph_from_tables(found, refuse)
    return Describing(given, home).from_tables(graph, found)


def number(identifier: str) -> int:
    return int(id_numbers([identifier])[0])


def kept(home: Path, label: str = "Item") -> Path:
    return home / "content" / "tables" / f"{label}.npz"


def cosines(graph: HeteroGraph) -> np.ndarray:
    vectors = graph.content["Item"]
    return vectors @ vectors.T


def test_the_same_text_has_the_same_vector_and_one_without_text_has_none(
    tmp_path: Path, asked: list[Any]
) -> None:
    graph = described(tmp_path, items=("title", "text"), categories=())
    alike = cosines(graph)
    np.testing.assert_allclose(np.diag(alike)[:3], 1.0, rtol=1e-5)
    assert alike[0, 1] == pytest.approx(1.0)
    assert alike[0, 2] < 0.0
    assert not graph.content["Item"][3].any()
    assert asked == ["Red shoes. Leather shoes", "Piano. grand"]  # once for each text


def test_the_texts_of_categories_are_added_the_strongest_first(
    tmp_path: Path, asked: list[Any]
) -> None:
    described(tmp_path)
    assert asked == ["Red shoes", "Red shoes. wear", "Piano. music", "music, wear"]


def test_what_was_encoded_is_not_encoded_again(tmp_path: Path, asked: list[Any]) -> None:
    first = described(tmp_path, users=("about",))
    assert "shoes" in asked
    asked.clear()
    again = described(tmp_path, users=("about",))
    assert asked == []
    for label in ("Item", "User"):
        np.testing.assert_array_equal(again.content[label], first.content[label])
    described(tmp_path, {**SHOP, "items": ITEMS.replace("Piano", "Organ")}, users=("about",))
    assert asked == ["Organ. music"]


def test_only_nodes_that_are_there_are_kept(tmp_path: Path) -> None:
    described(tmp_path)
    assert len(read_kept(kept(tmp_path)).node) == 4
    described(tmp_path, {**SHOP, "items": "item_id,title\na,Red shoes\n", "item_categories":
                         "item_id,category_id\nc,m\n"})  # fmt: skip
    assert set(read_kept(kept(tmp_path)).node) == {number("a"), number("c")}


def test_another_encoder_or_a_damaged_file_is_encoded_again(
    tmp_path: Path, asked: list[Any]
) -> None:
    described(tmp_path)
    number = len(asked)
    kept(tmp_path).write_bytes(kept(tmp_path).read_bytes()[:-200])
    described(tmp_path)
    assert len(asked) == 2 * number
    folder = FolderTables(tmp_path / "tables")
    source = ContentSource(encoder="tests.unit.content.encoding:too_few")
    with pytest.raises(TrainingError, match="too_few gave an array"):
        Describing(source, tmp_path).from_tables(graph_from_tables(folder, refuse), folder)


def test_vectors_of_different_lengths_are_refused(
    tmp_path: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsvc.content.encode_nodes._AT_ONCE", 1)
    folder = FolderTables(write(tmp_path / "tables", **SHOP))
    source = ContentSource(encoder="tests.unit.content.encoding:ragged")
    with pytest.raises(TrainingError, match="ragged gave 2 numbers for one text and 1 for another"):
        Describing(source, tmp_path).from_tables(graph_from_tables(folder, refuse), folder)
    assert len(asked) == 2


def test_an_interrupted_run_goes_on_from_what_was_saved(
    tmp_path: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsvc.content.encode_nodes._AT_ONCE", 1)
    monkeypatch.setattr("recsvc.content.encode_nodes._SAVED_SECONDS", 0.0)

    def stop(_what: str, done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    folder = FolderTables(write(tmp_path / "tables", **SHOP))
    graph = graph_from_tables(folder, refuse)
    with pytest.raises(KeyboardInterrupt):
        Describing(ContentSource(encoder=WORDS), tmp_path, told=stop).from_tables(graph, folder)
    assert len(asked) == 3
    asked.clear()
    described(tmp_path)
    assert asked == ["Piano. music", "music, wear"]  # the third was made and not yet saved


def test_a_deleted_node_is_taken_out_and_so_are_those_that_are_not_there(tmp_path: Path) -> None:
    described(tmp_path, users=("about", "name"))
    forget_content(tmp_path, "user", "u")
    assert set(read_kept(kept(tmp_path, "User")).node) == {number("v")}
    forget_content(tmp_path, "item", "a")
    assert number("a") not in read_kept(kept(tmp_path)).node
    forget_content(tmp_path, "category", "m")
    keep_only(tmp_path, "item", ["b"])  # of a graph, not of tables
    assert len(read_kept(kept(tmp_path)).node) == 3
    kept(tmp_path).rename((tmp_path / "content" / "graph").mkdir() or
                          tmp_path / "content" / "graph" / "Item.npz")  # fmt: skip
    keep_only(tmp_path, "item", ["b"])
    assert set(read_kept(tmp_path / "content/graph/Item.npz").node) == {number("b")}


def test_no_text_or_id_is_in_the_file(tmp_path: Path) -> None:
    described(tmp_path, users=("about", "name"))
    content = kept(tmp_path, "User").read_bytes()
    assert b"Ann" not in content
    assert b"shoes" not in content


def test_items_that_say_nothing_that_differs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no two items differ in colour"):
        described(tmp_path, items=("colour",), categories=())


def test_vectors_that_do_not_fit_into_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        available = 1000

    monkeypatch.setattr("psutil.virtual_memory", Full)
    with pytest.raises(TrainingError, match="take an encoder with shorter vectors"):
        described(tmp_path)


def test_images_stand_beside_texts_and_no_file_elsewhere_is_read(
    tmp_path: Path, asked: list[Any]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, colour in (("red.bin", 250), ("rose.bin", 245), ("blue.bin", 3)):
        (pictures / name).write_bytes(bytes([colour]) * 100)
    (tmp_path / "secret.bin").write_bytes(b"secret")
    (pictures / "link.bin").symlink_to(tmp_path / "secret.bin")
    rows = ["red.bin", "rose.bin", "blue.bin", "../secret.bin", "link.bin", "no.bin", "", "."]
    items = "item_id,title,picture\n" + "".join(
        f"{name},same,{path}\n" for name, path in zip("abcdefgh", rows, strict=True)
    )
    given = {
        "items": ("title",), "categories": (), "images": "picture", "image_folder": pictures,
        "image_encoder": "tests.unit.content.encoding:colours", "image_weight": 4.0,
    }  # fmt: skip
    graph = described(tmp_path, {"interactions": "user_id,item_id\nu,a\n", "items": items}, **given)
    assert {path.name for path in asked if isinstance(path, Path)} == {
        "red.bin", "rose.bin", "blue.bin",
    }  # fmt: skip
    alike = cosines(graph)
    assert alike[0, 1] == pytest.approx(4.0, rel=1e-5)
    assert alike[0, 2] < 0.0
    asked.clear()
    (pictures / "blue.bin").write_bytes(bytes([250]) * 120)
    described(tmp_path, {"interactions": "user_id,item_id\nu,a\n", "items": items}, **given)
    assert [path.name for path in asked if isinstance(path, Path)] == ["blue.bin"]
