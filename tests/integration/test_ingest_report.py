"""What an ingest tells: rejected rows, warnings, progress."""

from pathlib import Path

import polars as pl
import pytest

from loaders.errors import RejectedRowsError
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from tests.integration.test_ingest import SMALL, Links, load, state, write

pytestmark = pytest.mark.neo4j

ITSELF = "'u' is the follower_id too: expected another id"


def test_file_line_column_and_reason(
    gateway: Neo4jGateway, tmp_path: Path, relationships: Links
) -> None:
    source = write(
        tmp_path / "data",
        interactions='user_id,item_id,value\n"a\nb",i,1\nu,,1\nu,i,x\nu,i\nu,i,2\n',
        follows="follower_id,followee_id\nu,u\nu,v\n",
    )
    report = load(gateway, source, tmp_path)
    assert report.rejects == tmp_path / "rejects.csv"
    assert pl.read_csv(report.rejects, infer_schema=False).rows() == [
        ("follows.csv", "2", "followee_id", ITSELF, "u,u"),
        ("interactions.csv", "4", "item_id", "is missing", "u,,1"),
        ("interactions.csv", "5", "value", "'x' is not a finite number", "u,i,x"),
        ("interactions.csv", "6", None, "2 cells: expected 3, as in the header", "u,i"),
    ]
    counts = {name: (t.read, t.rejected, t.written) for name, t in report.tables.items()}
    assert counts == {"follows": (2, 1, 1), "interactions": (5, 3, 2)}
    assert report.rejected == 4
    assert relationships("INTERACTED").keys() == {
        ("a\nb", "i", "interaction"),
        ("u", "i", "interaction"),
    }


def test_strict_loads_nothing(gateway: Neo4jGateway, tmp_path: Path) -> None:
    source = write(tmp_path / "data", interactions="user_id,item_id\nu,i\nu,\n")
    path = tmp_path / "rejects.csv"
    with pytest.raises(RejectedRowsError, match=r"interactions\.csv, line 3, column item_id"):
        ingest(gateway, source, rejects=path, strict=True)
    assert path.is_file()
    assert state(gateway) == []


def test_strict_with_good_rows(gateway: Neo4jGateway, tmp_path: Path) -> None:
    source = write(tmp_path / "data", **SMALL)
    report = ingest(gateway, source, rejects=tmp_path / "rejects.csv", strict=True)
    assert (report.rejected, report.rejects) == (0, None)
    assert not (tmp_path / "rejects.csv").exists()


def test_progress_and_warnings(gateway: Neo4jGateway, tmp_path: Path) -> None:
    source = write(
        tmp_path / "data",
        interactions="user_id,item_id\nu,i\nu,i\n",
        items="item_id\ni\nj\n",
        item_categories="item_id,category_id,by\ni,c,x\n",
    )
    seen: list[tuple[str, int, int | None]] = []
    report = ingest(
        gateway,
        source,
        rejects=tmp_path / "rejects.csv",
        progress=lambda what, done, total: seen.append((what, done, total)),
    )
    assert seen == [
        ("items", 2, 2),
        ("item_categories", 1, 1),
        ("interactions: reading", 2, 2),
        ("interactions", 1, 1),
    ]
    assert report.warnings == ("item_categories.csv: column 'by' is not used",)
    assert report.tables["items"].rows_per_second > 0
    assert report.seconds >= sum(table.seconds for table in report.tables.values())
