"""Tables into the importer's files, without Neo4j; tests/integration/test_bulk.py has the rest."""

import csv
import shutil
import subprocess
import sys
from collections import namedtuple
from datetime import UTC, date, datetime

import polars as pl
import pytest

import loaders.ingest.bulk
from loaders.errors import LocalNeo4jError
from loaders.ingest.bulk._files import ImportFiles, header_of
from loaders.ingest.bulk._late import LateProperties
from loaders.ingest.bulk._staging import Staging
from loaders.local_neo4j import LocalNeo4j, LocalNeo4jOptions
from loaders.shared_files import checkout_root
from loaders.tables import INTERACTIONS, ITEMS, FolderTables, FrameTables, Rejects, as_table

DAY = datetime(2020, 1, 1, tzinfo=UTC)


def read(folder, pattern):
    """Rows of the files that match, as the importer sees them: by header, without empty cells."""
    rows = []
    for path in sorted(folder.glob(pattern)):
        with path.open(encoding="utf-8", newline="") as file:
            rows += [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
    return rows


@pytest.fixture
def stage(tmp_path):
    """Bring tables into files and return the files, the late properties and the reports."""

    def stage(source):
        folder = tmp_path / "import"
        folder.mkdir()
        with Rejects(tmp_path / "rejects.csv") as rejects, ImportFiles(folder) as files:
            late = LateProperties(folder)
            staging = Staging(source, files, late, rejects, lambda *_: None)
            reports = staging.run()
        return folder, files, late, reports

    return stage


def tables(folder, **texts):
    folder.mkdir()
    for name, text in ({"interactions": "user_id,item_id\n"} | texts).items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return FolderTables(folder)


class Gateway:
    """Keeps what it is asked to run."""

    def __init__(self):
        self.ran = []

    def run(self, query, **parameters):
        self.ran.append((query.name, parameters))
        return []


def test_exported_names_are_these():
    assert loaders.ingest.bulk.__all__ == ["bulk_ingest", "forget_files"]


@pytest.mark.parametrize(
    ("name", "dtype", "header"),
    [
        ("title", pl.String(), "title:string"),
        ("größe in cm", pl.Float64(), "größe in cm:double"),
        ("a.b-c", pl.Int64(), "a.b-c:long"),
        ("day", pl.Date(), "day:date"),
        ("at", pl.Datetime("us", "UTC"), "at:datetime"),
        ("flag", pl.Boolean(), "flag:boolean"),
        ("tags", pl.List(pl.String), None),
        ("a:b", pl.String(), None),
        ('a"b', pl.String(), None),
        ("two\nlines", pl.String(), None),
        (" a", pl.String(), None),
        ("a{b}", pl.String(), None),
    ],
)
def test_what_a_header_can_say(name, dtype, header):
    assert header_of(name, dtype) == header


class TestFiles:
    def test_cells_are_written_as_the_importer_reads_them(self, tmp_path):
        row = {
            "text:string": ['a "b",\n', "", None],
            "real:double": [float("inf"), float("-inf"), float("nan")],
            "at:datetime": [DAY.replace(year=1, microsecond=7), None, None],
            "day:date": [date(9999, 12, 31), None, None],
            "flag:boolean": [True, False, None],
        }
        with ImportFiles(tmp_path) as files:
            files.add("nodes", "User", pl.DataFrame(row))
        assert (tmp_path / "user-0.csv").read_text() == (
            "text:string,real:double,at:datetime,day:date,flag:boolean\n"
            '"a ""b"",\n","Infinity","0001-01-01T00:00:00.000007Z","9999-12-31","true"\n'
            '"","-Infinity",,,"false"\n'
            ',"NaN",,,\n'
        )

    def test_one_file_for_each_label_and_header(self, tmp_path):
        with ImportFiles(tmp_path) as files:
            for _ in range(2):
                files.add("nodes", "User", pl.DataFrame({"a:string": ["x"]}))
            files.add("nodes", "User", pl.DataFrame({"a:string": ["two\nlines"], "b:long": [1]}))
            files.add("relationships", "FOLLOWS", pl.DataFrame({":START_ID(User)": ["x"]}))
        options = files.options()
        assert (tmp_path / "user-0.csv").read_text() == 'a:string\n"x"\n"x"\n'
        assert files.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
        assert [o for o in options if "csv" in o] == [
            "--multiline-fields=./user-1.csv",
            "--nodes=User=./user-0.csv",
            "--nodes=User=./user-1.csv",
            "--relationships=FOLLOWS=./follows-2.csv",
        ]
        # The importer takes words after files for more of them.
        assert "csv" not in options[-2]
        assert options[-1] == "neo4j"


class TestStaging:
    def test_later_rows_are_laid_over_earlier_ones(self, stage, tmp_path):
        source = tables(
            tmp_path / "tables",
            items="item_id,title,price\ni,One,1\nj,,2\ni,Uno,\n",
            item_categories="item_id,category_id,weight\ni,c,2\nk,c,\ni,c,5\n",
            related_items="item_id,related_id,kind,weight\ni,j,,1\ni,j,seen,1\ni,j,,9\n",
        )
        folder, _, _, reports = stage(source)
        items = {row.pop("item_id:ID(Item)"): row for row in read(folder, "item-*")}
        assert items == {
            "i": {"title:string": "Uno", "price:string": "1"},
            "j": {"price:string": "2"},
            "k": {},
        }
        assert sorted(read(folder, "in_category-*"), key=str) == [
            {":START_ID(Item)": "i", ":END_ID(Category)": "c", "weight:double": "5.0"},
            {":START_ID(Item)": "k", ":END_ID(Category)": "c", "weight:double": "1.0"},
        ]
        kinds = {row["kind:string"]: row["weight:double"] for row in read(folder, "related_to-*")}
        assert kinds == {"related": "9.0", "seen": "1.0"}
        for name, read_and_different in {"items": (3, 2), "item_categories": (3, 2)}.items():
            assert (reports[name].read, reports[name].written) == read_and_different
        assert reports["item_categories"].unlisted == 1

    def test_rows_with_an_id_count_once_and_beside_those_without(self, stage, tmp_path):
        source = tables(
            tmp_path / "tables",
            interactions="user_id,item_id,event,value,timestamp,event_id\n"
            "u,i,e,1,2020-01-03,\nu,i,e,2,2020-01-01,x\nu,i,e,4,2020-01-02,x\nu,i,e,8,,y\n",
        )
        folder, _, _, reports = stage(source)
        (row,) = read(folder, "interacted-*")
        assert row == {
            ":START_ID(User)": "u",
            ":END_ID(Item)": "i",
            "event:string": "e",
            "count:long": "3",
            "weight:double": "11.0",
            "value:double": "1.0",
            "first_at:datetime": "2020-01-01T00:00:00.000000Z",
            "last_at:datetime": "2020-01-03T00:00:00.000000Z",
            "ledger_count:long": "2",
            "ledger_weight:double": "10.0",
        }
        events = {
            row["event_id:ID(Event)"]: row.get("at:datetime") for row in read(folder, "event-*")
        }
        assert events == {"x": "2020-01-01T00:00:00.000000Z", "y": None}
        assert reports["interactions"].written == 3

    def test_what_csv_cannot_carry_is_laid_over_the_graph_in_order(self, stage):
        item = {"item_id": ["i", "i"], "a:b": ["x", "y"], "tags": [["p", "q"], None]}
        done = {"user_id": ["u"], "item_id": ["i"], "marks": [[1, 2]]}
        source = FrameTables(
            {
                ITEMS: as_table(ITEMS, pl.DataFrame(item)),
                INTERACTIONS: as_table(INTERACTIONS, pl.DataFrame(done)),
            }
        )
        _, _, late, _ = stage(source)
        gateway = Gateway()
        late.apply(gateway)
        asked = {name: parameters["rows"] for name, parameters in gateway.ran}
        assert asked["ingest/items"] == [
            {"item_id": "i", "properties": {"a:b": "x", "tags": ["p", "q"]}},
            {"item_id": "i", "properties": {"a:b": "y"}},
        ]
        assert asked["bulk/interaction_properties"] == [
            {
                "user_id": "u",
                "item_id": "i",
                "event": "interaction",
                "properties": {"marks": [1, 2]},
            }
        ]


MEMORY = """
import resource, sys
from pathlib import Path
import polars as pl
from loaders.ingest.bulk._files import ImportFiles
from loaders.ingest.bulk._late import LateProperties
from loaders.ingest.bulk._staging import Staging
from loaders.tables import INTERACTIONS, Rejects

class Made:
    specs, warnings = (INTERACTIONS,), ()
    def __init__(self, batches): self.count = batches
    def row_count(self, spec): return None
    def batches(self, spec, reject):
        none = {"value": pl.Float64, "timestamp": pl.Datetime("us", "UTC"), "event_id": pl.String}
        for batch in range(self.count):
            n = pl.int_range(batch * 50_000, (batch + 1) * 50_000, eager=True)
            ids = {"user_id": n.hash() % 300_000, "item_id": n.hash(1) % 100_000}
            yield pl.DataFrame(ids).select(
                pl.all().cast(pl.String), event=pl.lit("view"),
                **{name: pl.lit(None, dtype) for name, dtype in none.items()})

folder = Path(sys.argv[2])
with Rejects(folder / "rejects.csv") as rejects, ImportFiles(folder) as files:
    Staging(Made(int(sys.argv[1])), files, LateProperties(folder), rejects, lambda *_: None).run()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.long
@pytest.mark.slow
def test_memory_hardly_grows_with_the_rows(tmp_path):
    def peak(batches):
        folder = tmp_path / str(batches)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(batches), str(folder)],
            capture_output=True,
            text=True,
            check=True,
            cwd=checkout_root(),
        )
        return int(done.stdout)

    assert peak(100) - peak(40) < 250, "MiB more for three million interactions more"


class TestRefusals:
    @pytest.fixture
    def local(self, tmp_path):
        return LocalNeo4j(LocalNeo4jOptions(tmp_path / "home"))

    def bulk(self, local, source):
        return loaders.ingest.bulk.bulk_ingest(local, source, rejects=local.folder / "rejects.csv")

    def test_too_full_a_disk_is_named_with_both_numbers(self, local, tmp_path, monkeypatch):
        source = tables(tmp_path / "tables", interactions="user_id,item_id\n" + "u,i\n" * 10)
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 1))
        with pytest.raises(LocalNeo4jError, match=r"0 MiB free, .* needs about .*RECSVC_HOME"):
            self.bulk(local, source)
        assert not local.half_loaded
        assert not (local.folder / "import").exists()

    def test_two_at_once_do_not_meet(self, local, tmp_path):
        bulk = self.bulk

        class Second(FrameTables):
            def batches(self, spec, reject):
                with pytest.raises(LocalNeo4jError, match="another `recsvc ingest --bulk`"):
                    bulk(local, self)
                raise KeyboardInterrupt

        row = as_table(INTERACTIONS, pl.DataFrame({"user_id": ["u"], "item_id": ["i"]}))
        with pytest.raises(KeyboardInterrupt):
            bulk(local, Second({INTERACTIONS: row}))
