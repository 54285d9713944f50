"""The recipes of CONTRIBUTING.md, followed in a copy of the code: they name every file."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from loaders.shared_files import checkout_root
from recsvc.model_names import KERNELS, OTHERS
from tests.unit.made_tables import write_tables

ROOT = checkout_root() or Path()

DATA_SET = """
from pathlib import Path
from loaders.datasets._download import DataSet, Publication
from loaders.tables import FolderTables

def toy(folder: Path) -> FolderTables:
    return FolderTables(folder)

DATA_SETS = {"toy": DataSet(toy, Publication("https://toy.example", {}))}
"""


QUERY = """
// How many items there are.
// mode: read
// returns: items: int
MATCH (item:Item) RETURN count(item) AS items
"""
READ = """
    async def toys(self) -> int:
        return (await self._run(catalogue()["serve/toys"]))[0]["items"]

"""
ROUTE = """
from fastapi import APIRouter
from recsvc.service.routes import EngineDep

router = APIRouter(tags=["toy"])

@router.get("/v1/toys")
async def toys(engine: EngineDep) -> int:
    return await engine.toys()
"""
ASKED = """
import asyncio
from types import SimpleNamespace as Made
import httpx
from recsvc.graph.store import Store
from recsvc.recommend.engine import Engine
from recsvc.service.app import create_app

async def seven(query, **parameters):
    assert query.title == "How many items there are."
    return [{"items": 7}]

async def main():
    store = object.__new__(Store)
    store._run = seven
    engine = object.__new__(Engine)
    engine._store, engine.watch_unread = store, lambda _: None
    keys = Made(needed=False, find=None)
    app = create_app(engine, refreshes=Made(last_state=None), keys=keys)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        print((await client.get("/v1/toys")).text)

asyncio.run(main())
"""


TRAINED = """
import sys
from recsvc import cli
from loaders.catalogue import catalogue
from recsvc.service.refresh_schemas import RefreshRequest

del sys.argv[0]
try:
    cli.main()
except SystemExit as end:
    assert not end.code
print(RefreshRequest(models=("toy",)).models)
print([query.text for name, query in catalogue().items() if "[toy,a]" in name])
"""


class Copy:
    """The code and its queries in a folder of their own."""

    def __init__(self, root: Path) -> None:
        for folder in ("loaders", "recsvc", "cypher"):
            # What was compiled is taken along, but for what is being written by others.
            ignored = shutil.ignore_patterns("*.pyc.*")
            shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", root)
        self.root = root

    def insert(self, file: str, before: str, text: str) -> None:
        """Put a text before another, which stands in the file once."""
        source = (self.root / file).read_text(encoding="utf-8")
        assert source.count(before) == 1
        (self.root / file).write_text(source.replace(before, text + before), encoding="utf-8")

    def run(self, *arguments: str, **environment: str) -> str:
        """What Python prints, when it finds the copy first."""
        ours = {"PYTHONPATH": str(self.root), "PYTHONSAFEPATH": "1"}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env={**os.environ, "RECSVC_HOME": str(self.root / "home"), **ours, **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    (tmp_path / "tables").mkdir()
    _, test = write_tables(tmp_path / "tables")
    test.unlink()
    return Copy(tmp_path / "copy")


def test_files_and_names_of_the_recipes_are_there() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    recipes = re.findall(r"^\*\*.+", page.partition("## Recipes")[2], re.MULTILINE)
    assert len(recipes) == 7
    quoted = {word for recipe in recipes for word in re.findall(r"`([^`]+)`", recipe)}
    words = {word for word in quoted if "<" not in word}
    files = {word for word in words if "/" in word}
    assert len(files) > 10
    assert not [file for file in files if not (ROOT / file).exists()]
    code = "".join(
        file.read_text(encoding="utf-8")
        for folder in ("loaders", "recsvc")
        for file in (ROOT / folder).rglob("*.py")
    )
    code += "".join((ROOT / file).read_text("utf-8") for file in files if file.startswith("tests/"))
    # tests/unit/test_docs.py looks at commands.
    names = {word for word in words - files if not word.startswith(("recsvc ", "recsvc.toml"))}
    assert not [name for name in names if not re.search(rf"\b{name}\b", code)]


def test_every_model_is_described() -> None:
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    table = page.partition("## Which one")[2].partition("\n## ")[0]
    rows = " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `"))
    heads = " ".join(re.findall("^## (.+)$", page, re.MULTILINE))
    for name in (*KERNELS, *OTHERS):
        assert f"`{name}`" in rows
        assert re.search(rf"\b{name}\b", heads)


@pytest.mark.parametrize(
    ("model", "names", "before"),
    [
        ("fastrp", "loaders/embedding_models.py", '"mf"'),
        pytest.param("walk3", "recsvc/model_names.py", '"ease"', marks=pytest.mark.long),
    ],
)
def test_a_model_is_its_file_and_its_name(copy: Copy, model: str, names: str, before: str) -> None:
    source = (copy.root / f"recsvc/models/{model}.py").read_text(encoding="utf-8")
    (copy.root / "recsvc/models/toy.py").write_text(
        source.replace(f'("{model}"', '("toy"'), encoding="utf-8"
    )
    copy.insert(names, before, '"toy", ')
    tables = str(copy.root.parent / "tables")
    command = ["recsvc", "train", "toy", "--data", tables, "--device", "cpu", "--json"]
    *trained, asked_for, queries = copy.run("-c", TRAINED, *command).splitlines()
    assert '"model":"toy"' in "".join(trained).replace(" ", "")
    assert asked_for == "('toy',)"
    assert ("embedding_toy_a" in queries) == (model == "fastrp")


def test_a_data_set_is_one_file(copy: Copy) -> None:
    (copy.root / "loaders/datasets/toy.py").write_text(DATA_SET, encoding="utf-8")
    code = (
        "import pathlib, loaders.datasets as d, loaders.tables as t; "
        f"source = d.open_source('toy', pathlib.Path({str(copy.root.parent / 'tables')!r})); "
        "print(len(t.graph_from_tables(source, print).users))"
    )
    assert copy.run("-c", code) == "90"


def test_an_endpoint_is_its_route_and_what_it_reads(copy: Copy) -> None:
    (copy.root / "cypher/serve/toys.cypher").write_text(QUERY.lstrip(), encoding="utf-8")
    (copy.root / "recsvc/service/routes/toys.py").write_text(ROUTE, encoding="utf-8")
    copy.insert("recsvc/graph/store.py", "    async def user_exists(", READ.lstrip("\n"))
    through = READ.replace(
        '(await self._run(catalogue()["serve/toys"]))[0]["items"]', "await self._store.toys()"
    )
    copy.insert("recsvc/recommend/engine.py", "    async def home(", through.lstrip("\n"))
    copy.insert("recsvc/service/app.py", "    similar,\n)", "    toys,\n")
    copy.insert("recsvc/service/app.py", "follows, models, runs", "toys, ")
    assert copy.run("-c", ASKED) == "7"


def test_an_event_type_is_a_line_of_settings(copy: Copy) -> None:
    (copy.root / "recsvc.toml").write_text("[events.hug]\nweight = 0.5\n", encoding="utf-8")
    code = "import recsvc; print(recsvc.load_settings().events['hug'].weight)"
    assert copy.run("-c", code) == "0.5"


def test_a_setting_is_a_field(copy: Copy) -> None:
    copy.insert("recsvc/settings.py", "    neo4j_user: str =", '    greeting: str = "hello"\n')
    code = "import recsvc; print(recsvc.load_settings().greeting)"
    assert copy.run("-c", code) == "hello"
    assert copy.run("-c", code, RECSVC_GREETING="good day") == "good day"
