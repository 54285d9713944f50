"""What a meta-path's files say of the kinds of events, and what is said where they do not."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loaders.catalogue import Catalogue
from loaders.errors import CatalogueError
from recsvc.commands.models import say_left_out
from recsvc.refresh.metapath_queries import Neo4jPaths
from recsvc.signals import metapath
from tests.conftest import CHECKOUT

FILES = ("metapaths/item_user_item", "explain/item_user_item")
WALK = (
    "// walk: (Item ^-0.7) <-[INTERACTED max 100]- (User ^-0.7)\n"
    "//   -[INTERACTED max 100]-> (Item ^-0.4)\n"
)


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Edits some files of a copy of the catalogue: each loses a text, and `$kinds`."""
    shutil.copytree(CHECKOUT / "cypher", tmp_path, dirs_exist_ok=True)

    def edit(*names: str, without: str = "") -> None:
        for name in names:
            file = tmp_path / f"{name}.cypher"
            text = file.read_text(encoding="utf-8")
            assert "$kinds" in text
            assert without in text
            text = text.replace(without, "").replace(", kinds: list[str]", "")
            file.write_text(text.replace("$kinds", "['view']"), encoding="utf-8")
        changed = Catalogue(tmp_path)
        monkeypatch.setattr(metapath, "catalogue", lambda: changed)

    return edit


def test_the_project_s_own_files_take_the_kinds() -> None:
    assert len(metapath.metapath_kinds()) == 4
    assert metapath.of_all_kinds() == []


def test_a_walk_over_interactions_takes_the_kinds(edited: Callable[..., None]) -> None:
    edited(*FILES)
    with pytest.raises(CatalogueError, match=r"item\.cypher:\d+: a walk follows .* \$kinds alone"):
        metapath.metapath_kinds()


@pytest.mark.parametrize(("name", "walk"), [(FILES[0], WALK), (FILES[1], "")])
def test_a_meta_path_and_its_paths_take_the_kinds_or_neither_does(
    edited: Callable[..., None], name: str, walk: str
) -> None:
    edited(name, without=walk)
    with pytest.raises(CatalogueError, match=r"item\.cypher:\d+: only one of this file and"):
        metapath.metapath_kinds()


def test_a_file_whose_paths_are_not_drawn_is_taken(
    tmp_path: Path, edited: Callable[..., None]
) -> None:
    (tmp_path / f"{FILES[1]}.cypher").unlink()
    edited(FILES[0], without=WALK)
    assert "item_user_item" in metapath.metapath_kinds()


def test_a_file_without_a_walk_may_do_without_and_is_named(edited: Callable[..., None]) -> None:
    edited(FILES[0], without=WALK)
    edited(FILES[1])
    assert metapath.metapath_kinds()["item_user_item"] == "item"
    assert metapath.of_all_kinds() == ["item_user_item"]


def test_without_a_database_a_file_without_a_walk_is_left_out_and_named(
    edited: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    edited(FILES[0], without=WALK)
    edited(FILES[1])
    nobody: Any = None
    assert "item_user_item" in metapath.usable_metapaths(Neo4jPaths(nobody))
    left = metapath.usable_metapaths(None)
    assert left.keys() == metapath.metapath_kinds().keys() - {"item_user_item"}
    say_left_out(["walk3"])
    assert not capsys.readouterr().err
    say_left_out(["walk3", "hybrid"])
    assert "left out of hybrid" in (said := capsys.readouterr().err)
    assert "item_user_item" in said
