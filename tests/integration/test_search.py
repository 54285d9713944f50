"""Looking for users, items and categories on a real Neo4j, through its indexes."""

import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import neo4j
import polars as pl
import pytest

from loaders.catalogue import catalogue, with_one_parameter
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.ingest import ingest
from loaders.tables import FolderTables
from recsvc.evidence import EvidenceKind
from recsvc.graph.store import Store
from tests.plans import operators

pytestmark = pytest.mark.neo4j

TITLES = {
    "1": "Kylie Minogue",
    "2": "Kylie Auldist",
    "3": "Björk",
    "4": "AC/DC",
    "5": "Guns N' Roses",
    "6": "宇多田ヒカル",
    "7": "R.E.M.",
    "77": None,
    'a\'b \\ "c"': "!!!",
}
FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
INTERACTIONS = [("u1", "2"), ("u2", "2"), ("u1", "1"), ("u3", "7"), ("u3", "77"), ("u1", "77")]


@pytest.fixture
def found_in(gateway: Neo4jGateway, tmp_path: Path) -> Neo4jGateway:
    folder = tmp_path / "tables"
    folder.mkdir()
    pl.DataFrame(list(TITLES.items()), schema=["item_id", "title"], orient="row").write_csv(
        folder / "items.csv"
    )
    pl.DataFrame(INTERACTIONS, schema=["user_id", "item_id"], orient="row").write_csv(
        folder / "interactions.csv"
    )
    pl.DataFrame(
        [("u1", "Ada Lovelace"), ("u2", None), ("u3", "Adam")], schema=["user_id", "name"],
        orient="row",
    ).write_csv(folder / "users.csv")  # fmt: skip
    pl.DataFrame([("c1", "Dream pop"), ("c2", "pop")], schema=["category_id", "name"],
                 orient="row").write_csv(folder / "categories.csv")  # fmt: skip
    pl.DataFrame([("1", "c1"), ("2", "c1"), ("3", "c2")], schema=["item_id", "category_id"],
                 orient="row").write_csv(folder / "item_categories.csv")  # fmt: skip
    ingest(gateway, FolderTables(folder), rejects=tmp_path / "rejects.csv", strict=True)
    gateway.run(catalogue()["ingest/await_indexes"])
    return gateway


@pytest.fixture
async def store(found_in: Neo4jGateway, neo4j_address: Neo4jAddress) -> AsyncIterator[Store]:
    store = Store(neo4j_address, timeout_seconds=120.0)
    await store.open()
    yield store
    await store.close()


@pytest.mark.parametrize(
    ("kind", "typed", "ids"),
    [
        ("item", "kylie", ["2", "1"]),  # the one with more listeners first
        ("item", "KYL", ["2", "1"]),
        ("item", "min kylie", ["1"]),
        ("item", "ylie", []),
        ("item", "bjork", ["3"]),
        ("item", "BJÖ", ["3"]),
        ("item", "björk", ["3"]),
        ("item", "ac/dc", ["4"]),
        ("item", "guns n' ro", ["5"]),
        ("item", "宇多田", ["6"]),
        ("item", "r.e.m.", ["7"]),
        ("item", "7", ["7", "77"]),  # the very id first, whatever the listeners
        ("item", "a'b \\", ['a\'b \\ "c"']),
        ("item", "title:kylie", []),
        ("item", "kylie OR björk", []),
        ("item", "*", []),
        ("item", "!!", ['a\'b \\ "c"']),
        ("user", "ada", ["u1", "u3"]),
        ("user", "adam", ["u3"]),
        ("user", "u", ["u1", "u3", "u2"]),
        ("category", "po", ["c1", "c2"]),
        ("category", "Pop", ["c2", "c1"]),  # the very name first, whatever the items
        ("category", "dream", ["c1"]),
    ],
)
async def test_what_is_found(store: Store, kind: EvidenceKind, typed: str, ids: list[str]) -> None:
    assert [row["id"] for row in await store.find(kind, typed, 10)] == ids


async def test_what_is_told_of_it(store: Store) -> None:
    (ada,) = await store.find("user", "lovelace", 10)
    assert ada == {"id": "u1", "title": "Ada Lovelace", "count": 3}
    assert await store.find("item", "77", 1) == [{"id": "77", "title": None, "count": 2}]
    assert (await store.find("category", "c1", 1))[0]["count"] == 2


SCRIPTS = """\
The Beatles|The The|Not at All|दिल से|ที่รัก|İzmir|ΟΔΥΣΣΕΑΣ|Ὀδυσσεύς|straße|STRASSE|ﬁsh|Ünal Ök
דּוּדָה|مَرْحَبًا|宇多田ヒカル|ｶﾀｶﾅ|か゛が|한국어 노래|Tiếng Việt|naïve café|Ærø|Łódź|ĳsberg|Ωmega ﬀ
Ⅷ|x²|l’été|Москва Ёж|ğĞıI|ŉ|ǆ|ΐ|ᾳ|ſ|Å|తెలుగు|ខ្មែរ|አማርኛ|ᲥᲐᲠᲗᲣᲚᲘ|Եւրոպա և|བོད་ཡིག
\u200bzero|a\u00adb|C++|AT&T|P!nk|blink-182|1.0|i̇|𝐁old|Ｆｕｌｌ|ﷺ|e\u0301\u0323|😀 smile
!!!|...|—|♥|♪♫ ♪""".replace("\n", "|").split("|")  # noqa: RUF001
"""What looks like another letter is what is tested."""


def every_form(title: str) -> set[str]:
    """What people may type who mean it."""
    cases = {title, title.upper(), title.lower(), title.casefold()}
    return {unicodedata.normalize(form, each) for each in cases for form in FORMS}


async def test_every_title_is_found_in_every_form_of_its_letters(
    found_in: Neo4jGateway, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "scripts"
    folder.mkdir()
    titles = {f"t{number}": title for number, title in enumerate(SCRIPTS)}
    # Each a second time, as another system writes it.
    titles |= {f"{id_}d": unicodedata.normalize("NFD", title) for id_, title in titles.items()}
    rows = pl.DataFrame(list(titles.items()), schema=["item_id", "title"], orient="row")
    rows.write_csv(folder / "items.csv")
    (folder / "interactions.csv").write_text("user_id,item_id\nu1,t0\n")
    ingest(found_in, FolderTables(folder), rejects=tmp_path / "none.csv", strict=True)
    found_in.run(catalogue()["ingest/await_indexes"])
    missed = [
        (title, typed)
        for id_, title in titles.items()
        for typed in every_form(title)
        if id_ not in [row["id"] for row in await store.find("item", typed, 100)]
    ]
    assert missed == []


async def test_no_more_than_are_asked_for(store: Store) -> None:
    assert len(await store.find("item", "kylie", 1)) == 1


async def test_each_user_is_at_some_place(store: Store) -> None:
    places = [await store.users_at(share, 1) for share in (0.0, 0.34, 0.67, 0.999)]
    assert {row["id"] for rows in places for row in rows} == {"u1", "u2", "u3"}
    assert len(await store.users_at(0.0, 10)) == 3


@pytest.mark.parametrize("kind", ["user", "item", "category"])
def test_ids_are_found_through_an_index(
    found_in: Neo4jGateway, neo4j_address: Neo4jAddress, kind: str
) -> None:
    text = with_one_parameter(catalogue()[f"serve/find_{kind}"].text)
    values = {"prefix": "1", "words": "+(1*)", "limit": 1}
    with (
        neo4j.GraphDatabase.driver(neo4j_address.uri, auth=neo4j_address.auth) as driver,
        driver.session() as session,
    ):
        plan = session.run(f"EXPLAIN {text}", {"all": values}).consume().plan
    names = operators(plan)
    assert "NodeUniqueIndexSeekByRange" in names or "NodeIndexSeekByRange" in names, names
    assert not {name for name in names if "Scan" in name}, names
