from pathlib import Path
from typing import Any

import pytest

from loaders.datasets import DATASETS, open_source
from loaders.datasets.lastfm import LastfmTables
from loaders.errors import TableError
from loaders.tables import INTERACTIONS, FolderTables, parse_mapping

ROOT = Path(__file__).parents[4]


def test_a_name() -> None:
    assert isinstance(open_source("lastfm"), LastfmTables)


def test_a_folder(written: Any) -> None:
    folder = written({"interactions.csv": "user_id,item_id\n"})
    assert isinstance(open_source(str(folder)), FolderTables)


def test_a_pattern_and_a_mapping(written: Any, reading: Any) -> None:
    folder = written({"interactions.csv": "who,item_id\nu,i\n"})
    source = open_source(f"{folder}/*.csv", mapping=parse_mapping(["interactions.user_id=who"]))
    assert reading.rows(source, INTERACTIONS, "user_id") == [("u",)]


def test_a_name_with_its_files(written: Any, reading: Any) -> None:
    source = open_source("taobao", written({"UserBehavior.csv": "1,2,3,buy,1511544070\n"}))
    assert reading.rows(source, INTERACTIONS, "event") == [("purchase",)]


def test_neither(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="neither a folder of tables nor a named data set"):
        open_source("lastfn")
    with pytest.raises(TableError, match="expected one of amazon"):
        open_source(str(tmp_path), tmp_path)
    with pytest.raises(TableError, match="expected one of amazon"):
        open_source(str(tmp_path), download_to=tmp_path)


@pytest.mark.parametrize("name", sorted(DATASETS.keys() - {"lastfm"}))
def test_files_have_to_be_named(name: str) -> None:
    with pytest.raises(TableError, match=r"not part of this project.*https://.*--from.*--download"):
        open_source(name)


def test_arguments_that_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="not both"):
        open_source("taobao", tmp_path, download_to=tmp_path)
    with pytest.raises(TableError, match="leave out what says how"):
        open_source("taobao", tmp_path, mapping=parse_mapping(["interactions.user_id=who"]))


@pytest.mark.parametrize("name", DATASETS)
def test_every_name_is_in_the_guide(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
