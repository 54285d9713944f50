"""Nobody who was deleted is named anywhere the project writes: all files and the whole graph."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.parts import stored_parts
from loaders.tables import FolderTables
from recsvc.evaluation.splits import id_numbers
from recsvc.refresh.pipeline import refresh
from recsvc.refresh.places import PLACES, forget_here
from recsvc.settings import load_settings
from tests.conftest import QUICK
from tests.forked_refresh import make_graph
from tests.statement import statement

pytestmark = pytest.mark.neo4j

CONTENT = {
    "items": ["item_id"], "users": ["user_id"], "encoder": "tests.unit.content.encoding:words",
}  # fmt: skip
TRAINED = QUICK.model_copy(
    update={"models": ("mf", "walk3", "content"), "options": {"content": CONTENT}}
)
"""What is trained in epochs leaves what the next refresh goes on from, and what is encoded its
vectors."""
WHO = "nobody-else-7"
OTHER = "u001"


@pytest.fixture
def home(gateway: Neo4jGateway, tmp_path: Path) -> Path:
    """A home in which somebody is everywhere, and its graph."""
    make_graph(gateway, tmp_path / "tables", users=40)
    more = tmp_path / "more"
    more.mkdir()
    seen = "".join(f"{WHO},i{n:02}\n" for n in range(8))
    (more / "interactions.csv").write_text(f"user_id,item_id\n{seen}{WHO},\n{OTHER},\n")
    (more / "follows.csv").write_text(f"follower_id,followee_id\n{WHO},{OTHER}\n{OTHER},{WHO}\n")
    (more / "categories.csv").write_text("category_id\nc1\n")
    (more / "preferences.csv").write_text(f"user_id,category_id\n{WHO},c1\n")
    home = tmp_path / "home"
    (home / "rejects").mkdir(parents=True)
    ingest(gateway, FolderTables(more), rejects=home / "rejects" / "more.csv")
    for force in (False, True):  # the second tells what became of the lists of the first
        refresh(gateway, TRAINED, load_settings().events, home=home, force=force)
    (home / "report.html").write_text(f"<p>{WHO}</p>")
    (home / "neo4j" / "import").mkdir(parents=True)
    (home / "neo4j" / "import" / "users.csv").write_text(f"{WHO}\n")
    return home


def texts_of(path: Path) -> str:
    """All that a file says, arrays unpacked."""
    content = path.read_bytes()
    if path.suffix == ".npz":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            arrays = [np.load(io.BytesIO(archive.read(n)), allow_pickle=False) for n in names]
        content = b"".join(a.tobytes() for a in arrays)
        content += b"\0".join(str(a.tolist()).encode() for a in arrays if a.size < 100_000)
    return content.decode("utf-8", "replace") + content.decode("utf-32-le", "replace")


def named(home: Path, gateway: Neo4jGateway, who: str) -> list[str]:
    """Every place that has an id, or the number by which versions and lists know it."""
    number = str(int(id_numbers([who])[0]))
    names = [
        str(path.relative_to(home))
        for path in home.rglob("*")
        if path.is_file() and any(each in texts_of(path) for each in (who, number))
    ]
    for pattern in ("(n)", "()-[n]->()"):
        rows = statement(
            gateway,
            f"MATCH {pattern} UNWIND keys(n) AS name WITH n, name WHERE name <> 'content' "
            "RETURN name, toStringOrNull(n[name]) AS one, "
            "CASE WHEN n[name] IS :: LIST<ANY> THEN [x IN n[name] | toStringOrNull(x)] END AS many",
        )
        names += [row["name"] for row in rows if {who, number} & {row["one"], *(row["many"] or [])}]
    versions = statement(
        gateway, "MATCH (v:EmbeddingVersion {model: 'hybrid'}) RETURN v.version AS v"
    )
    for version in versions:
        parts = [part.content for part in stored_parts(gateway, version["v"])]
        if f'"{who}"'.encode() in b"".join(parts):
            names.append(f"arrays of {version['v']}")
    return names


def test_a_user_in_every_place_is_nowhere_afterwards(
    home: Path,
    gateway: Neo4jGateway,
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RECSVC_HOME", str(home))
    before = named(home, gateway, WHO)
    for place in ("user_id", "validation_users", "arrays of 1", "arrays of 2", "rejects/more.csv",
                  "report.html", "neo4j/import/users.csv", "content/graph/User.npz"):  # fmt: skip
        assert place in before
    assert [each for each in before if each.endswith("state.npz")]
    assert [each for each in before if each.endswith("lists.json")]
    code, _, told = command("delete-user", WHO)
    assert (code, told) == (0, "")
    assert named(home, gateway, WHO) == []
    assert {"user_id", "arrays of 1", "arrays of 2", "rejects/more.csv"} <= set(
        named(home, gateway, OTHER)
    )


def test_a_place_that_cannot_be_changed_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsvc.errors import DeletionPendingError
    from recsvc.refresh import places

    def broken(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "report.html").write_text(WHO)
    monkeypatch.setattr(places, "PLACES", (places.Place("rejects/*.csv", broken), *PLACES))
    with pytest.raises(DeletionPendingError, match=r"rejects/\*.csv: .*No space left"):
        forget_here(tmp_path, "user", WHO)
    assert not (tmp_path / "report.html").exists()
