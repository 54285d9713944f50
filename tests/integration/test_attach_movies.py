"""A graph of rated movies as others have it, by the commands of docs/attach.md."""

import csv
import io
import json
import tarfile
import tomllib
from pathlib import Path

import pytest

from loaders.gateway import Neo4jAddress, Neo4jGateway
from tests.conftest import recsvc
from tests.graph_hash import graph_hash
from tests.prepared_graph import DELETE_ALL
from tests.statement import statement

pytestmark = [pytest.mark.neo4j, pytest.mark.long]


def write(gateway: Neo4jGateway, text: str, rows: list[dict[str, object]]) -> None:
    for start in range(0, len(rows), 20_000):
        statement(gateway, text, rows=rows[start : start + 20_000])


def test_from_a_database_of_movies_to_explained_recommendations(
    session_gateway: Neo4jGateway,
    neo4j_address: Neo4jAddress,
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session_gateway.run(DELETE_ALL)
    with tarfile.open(shared_data / "ml-latest-small" / "ml-latest-small.tar.xz") as archive:

        def table(name: str) -> list[dict[str, str]]:
            file = archive.extractfile(f"ml-latest-small/{name}.csv")
            assert file is not None
            return list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8")))

        movies, ratings = table("movies"), table("ratings")
    write(
        session_gateway,
        "UNWIND $rows AS row CREATE (m:Movie {movieId: row.id, title: row.title}) "
        "WITH m, row UNWIND row.genres AS name MERGE (g:Genre {name: name}) "
        "CREATE (m)-[:IN_GENRE]->(g)",
        [
            {"id": int(m["movieId"]), "title": m["title"], "genres": m["genres"].split("|")}
            for m in movies
        ],
    )
    users = sorted({int(rating["userId"]) for rating in ratings})
    write(session_gateway, "UNWIND $rows AS row CREATE (:User {userId: row.id})",
          [{"id": user} for user in users])  # fmt: skip
    for label, key in (("User", "userId"), ("Movie", "movieId")):
        statement(
            session_gateway,
            f"CREATE INDEX {label.lower()}_key IF NOT EXISTS FOR (n:{label}) ON (n.{key})",
        )
    write(
        session_gateway,
        "UNWIND $rows AS row MATCH (u:User {userId: row.user}) "
        "MATCH (m:Movie {movieId: row.movie}) "
        "CREATE (u)-[:RATED {rating: row.rating, timestamp: row.at}]->(m)",
        [
            {"user": int(r["userId"]), "movie": int(r["movieId"]), "rating": float(r["rating"]),
             "at": int(r["timestamp"])}
            for r in ratings
        ],
    )  # fmt: skip
    before = graph_hash(session_gateway)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path / "home"))
    for name in ("uri", "user", "password"):
        monkeypatch.setenv(f"RECSVC_NEO4J_{name.upper()}", getattr(neo4j_address, name))

    assert recsvc("attach").returncode == 0
    written = Path("recsvc.toml").read_text(encoding="utf-8")
    guide = Path(__file__).parents[2].joinpath("docs", "attach.md").read_text(encoding="utf-8")
    assert tomllib.loads(written) == tomllib.loads(guide.split("```toml\n")[2].split("```")[0])
    models = '\n[refresh]\nmodels = ["fastrp", "walk3"]\nvalidation_users = 100\n'
    Path("recsvc.toml").write_text(written + models, encoding="utf-8")
    checked = json.loads(recsvc("attach", "--check", "--json").stdout)
    assert checked["found"]["interactions"] == 100_836
    assert checked["missing"] == []
    done = recsvc("refresh")
    assert done.returncode == 0, done.stderr
    # The second is the id of nobody, though 01 is the number 1.
    listed = json.loads(recsvc("recommend", "1", "--json").stdout)["items"]
    assert len(listed) == 10
    assert all(each["title"] for each in listed)
    assert recsvc("recommend", "01").returncode == 1
    explained = recsvc("explain", "1", listed[0]["item_id"])
    assert explained.returncode == 0
    assert "RATED" in explained.stdout
    assert recsvc("detach").returncode == 0
    assert graph_hash(session_gateway) == before
    for label in ("user", "movie"):
        statement(session_gateway, f"DROP INDEX {label}_key IF EXISTS")
