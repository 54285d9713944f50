"""The recipes of docs/recipes.md, run as they stand on small made files of their forms."""

import random
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loaders.gateway import Neo4jGateway
from tests.conftest import CHECKOUT, recsvc
from tests.prepared_graph import DELETE_ALL
from tests.statement import statement

PAGE = (CHECKOUT / "docs" / "recipes.md").read_text(encoding="utf-8")
USERS, ITEMS = 24, 20
Rows = Iterator[tuple[str, int]]


def liked(users: list[str], seed: int = 3) -> list[tuple[str, int]]:
    """Pairs of a user and the number of an item: users like items of their own parity."""
    rng = random.Random(seed)
    return [
        (user, item)
        for n, user in enumerate(users)
        for item in sorted(rng.sample(range(n % 2, ITEMS, 2), 6))
    ]


def people(first: str) -> list[str]:
    return [first, *(f"p{n}" for n in range(1, USERS))]


def write(file: Path, header: str, rows: list[str]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def samples(heading: str) -> list[list[str]]:
    """The lines of the examples of a recipe."""
    found = re.findall(r"^```csv\n(.*?)^```", section(heading), re.DOTALL | re.MULTILINE)
    return [text.splitlines() for text in found]


def section(heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def invoices(folder: Path, page: list[list[str]]) -> set[tuple[str, str, float]]:
    header, *own = page[0]
    rows = [f"9{n},{i},THING {i},2,12/5/2010 8:26,1.0,{u}"
            for n, (u, i) in enumerate(liked(people("17850")))]  # fmt: skip
    more = ["C1,18,THING 18,-1,1/9/2011 0:00,1.0,p1", "7,POST,POSTAGE,1,1/9/2011 0:00,3.0,p1"]
    write(folder / "sales.csv", header, own + rows + more)
    weight = {(u, str(i)): 2.0 for u, i in liked(people("17850"))}
    weight["p1", "18"] = weight.get(("p1", "18"), 0.0) - 1.0
    weight["17850", "85123A"] = 0.0
    return {(*pair, total) for pair, total in weight.items()}


def orders(folder: Path, page: list[list[str]]) -> set[tuple[str, str, float]]:
    pairs = liked(people("anna"))
    (head, *own), (line_head, *lines) = page
    more = [f"{n},{u},2026-02-01T00:00:00Z,paid" for n, (u, _) in enumerate(pairs)]
    write(folder / "shop" / "orders.csv", head, own + more)
    of = [f"{n},b-{i},3" for n, (_, i) in enumerate(pairs)]
    write(folder / "shop" / "order_lines.csv", line_head, [*lines, "1002,b-1,1", *of])
    named = [f"b-{i},Thing {i},9.9" for i in range(ITEMS + 1)]
    write(folder / "shop" / "products.csv", "product_id,name,price", named)
    total = {(u, f"b-{i}"): 3.0 for u, i in pairs}
    for item, quantity in (("b-17", 1.0), ("b-20", 2.0)):
        total["anna", item] = total.get(("anna", item), 0.0) + quantity
    return {(*pair, weight) for pair, weight in total.items()}


def clicks(folder: Path, page: list[list[str]]) -> set[tuple[str, str, float]]:
    header, *own = page[0]
    pairs = liked(people("257597"))
    rows = [f"{1433221332117 + n},{u},checkout_ok,{i}" for n, (u, i) in enumerate(pairs)]
    write(folder / "clicks.csv", header, own + rows)
    said = {(row.split(",")[1], row.split(",")[3], 1.0) for row in own}
    return {(u, str(i), 1.0) for u, i in pairs} | said


def ratings(folder: Path, page: list[list[str]]) -> set[tuple[str, str, float]]:
    header, *own = page[0]
    pairs = liked(people("276726"))
    rows = [f'"{u}";"{i}";"{(i * 7) % 11}"' for u, i in pairs]
    write(folder / "ratings.csv", header, own + rows)
    said = {("276725", "034545104X", 1.0), ("276726", "0155061224", 5.0)}
    return {(u, str(i), (i * 7) % 11 or 1.0) for u, i in pairs} | said


def plays(folder: Path, page: list[list[str]]) -> set[tuple[str, str, float]]:
    header, *own = page[0]
    pairs = liked(people("ada"))
    rows = [f"{u},2026-02-01T00:00:0{n}Z,Band {i},Song {n}" for u, i in pairs for n in range(3)]
    write(folder / "plays.csv", header, own + rows)
    return {(u, f"Band {i}", 3.0) for u, i in pairs} | {("ada", "Kate Bush", 2.0)}


def exports(folder: Path, page: list[list[str]]) -> set[tuple[str, str, float]]:
    (pandas, *own), (r, *theirs) = page
    pairs = [(u, f"j{i}") for u, i in liked(people("ada"))]
    half = len(pairs) // 2
    first = [f"{n},{u},{i},4" for n, (u, i) in enumerate(pairs[:half], 2)]
    second = [f'"{n}","{u}","{i}",4' for n, (u, i) in enumerate(pairs[half:], 3)]
    write(folder / "exports" / "ratings-1.csv", pandas, own + first)
    write(folder / "exports" / "ratings-2.csv", r, theirs + second)
    said = {("ada", "i1", 4.0), ("ada", "i2", 5.0), ("ben", "i1", 3.0), ("ben", "i3", 5.0)}
    return {(*pair, 4.0) for pair in pairs} | said


def events(folder: Path, page: list[list[str]]) -> set[tuple[str, str, float]]:
    header, *own = page[0]
    pairs = liked(people("541312140"))
    rows = [
        f"2019-10-02 00:00:00 UTC,purchase,{i},Home > Room {i % 2} > Thing {i % 4},b,1.5,{u},s"
        for u, i in pairs
    ]
    write(folder / "events.csv", header, own + rows)
    said = {(row.split(",")[6], row.split(",")[2], 1.0) for row in own}
    return {(u, str(i), 1.0) for u, i in pairs} | said


def grocery(folder: Path, page: list[list[str]]) -> set[tuple[str, str, float]]:
    header, *own = page[0]
    pairs = [(u, i + 1) for u, i in liked(people("ada"))]
    more = [f"{i},Thing {i},{1 + i % 4},{1 + i % 2}" for i in range(3, ITEMS + 1)]
    write(folder / "grocery" / "products.csv", header, own + more)
    shelves = [f"{n},Shelf {n}" for n in (1, 2, 3, 4, 61, 104)]
    write(folder / "grocery" / "aisles.csv", "aisle_id,aisle", shelves)
    halls = [f"{n},Hall {n}" for n in (1, 2, 13, 19)]
    write(folder / "grocery" / "departments.csv", "department_id,department", halls)
    write(folder / "grocery" / "baskets.csv", "user,product", [f"{u},{i}" for u, i in pairs])
    return {(u, str(i), 1.0) for u, i in pairs}


MAKERS: dict[str, Callable[[Path, list[list[str]]], set[tuple[str, str, float]]]] = {
    "An invoice export": invoices,
    "Orders and order lines": orders,
    "A clickstream with its own names of events": clicks,
    'A ratings export with 0 for "not rated"': ratings,
    "A listening history": plays,
    "Exports of pandas and R with a nameless index": exports,
    "A wide export of a shop's events": events,
    "A category tree with ids that collide": grocery,
}
INTERACTED = "MATCH (u:User)-[r:INTERACTED]->(i:Item) RETURN u.user_id AS user, i.item_id AS item, "


@pytest.fixture(params=MAKERS)
def recipe(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The commands of a recipe, and the interactions that its files hold, in their folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path / "home"))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    expected = MAKERS[request.param](tmp_path, samples(request.param))
    (script,) = re.findall(r"^```sh\n(.*?)^```", section(request.param), re.DOTALL | re.MULTILINE)
    commands = re.split(r"(?<!\\)\n(?=recsvc |\.venv/)", script.strip())
    assert len(commands) <= 5
    return commands, expected


def run(command: str, *more: str) -> str:
    if command.startswith("recsvc "):
        done = recsvc(*shlex.split(command.replace("\\\n", ""))[1:], *more)
    else:
        done = subprocess.run(["bash", "-ec", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_every_form_has_its_recipe() -> None:
    assert re.findall(r"^## (.+)$", PAGE, re.MULTILINE) == list(MAKERS)


def test_a_dry_run_takes_the_files(recipe: Any) -> None:
    commands, expected = recipe
    *before, ingest = commands[:-2]
    for command in before:
        run(command)
    out = run(ingest, "--dry-run")
    counts = re.search(r"interactions\W+(\d+)\W+(\d+)\W+(\d+)", out)
    assert counts
    assert int(counts[3]) >= len(expected)  # a click is a kind of event, too
    for warning in ("looks like", "disagree", "no weight"):
        assert warning not in out


@pytest.mark.neo4j
@pytest.mark.long
def test_from_file_to_explained_answer(
    recipe: Any,
    gateway: Neo4jGateway,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        if name != "RECSVC_HOME":
            monkeypatch.setenv(name, value)
    (tmp_path / "recsvc.toml").write_text('[refresh]\nmodels = ["ridge"]\n')
    commands, expected = recipe
    gateway.run(DELETE_ALL)
    *loads, refresh, recommend = commands
    for command in loads:
        run(command)
    rows = statement(gateway, INTERACTED + "r.weight AS weight, r.event AS event")
    assert {(row["user"], row["item"], row["weight"]) for row in rows} == expected
    run(refresh)
    answer = run(recommend)
    assert f"For user {shlex.split(recommend)[-1]}" in answer
    assert "Because you" in answer
    assert "POST" not in answer
