"""The page's files: what is sent, and that it needs nobody else."""

import re
from pathlib import Path

import httpx
import pytest

import recsvc.service

STATIC = Path(recsvc.service.__file__).parent / "static"
PAGES = {"/": "index.html", "/person": "person.html"}
MODULES = sorted(path.name for path in STATIC.glob("*.js"))
ELSEWHERE = re.compile(r"(?:https?:)?//[a-z]|@import|\bimport\(['\"](?!\./)")
MOST_BYTES = 300_000


@pytest.mark.parametrize("address", PAGES)
async def test_a_page_may_only_ask_this_service(client: httpx.AsyncClient, address: str) -> None:
    response = await client.get(address)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(
        part.strip().split(" ", 1)
        for part in response.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert policy["require-trusted-types-for"] == "'script'"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", [*MODULES, "style.css"])
async def test_each_part_is_sent_once(client: httpx.AsyncClient, name: str) -> None:
    response = await client.get(f"/page/{name}")
    assert response.content == (STATIC / name).read_bytes()
    media_type = "text/css" if name.endswith("css") else "text/javascript"
    assert response.headers["content-type"].startswith(media_type)
    assert response.headers["cache-control"] == "no-cache"
    known = {"If-None-Match": response.headers["etag"]}
    again = await client.get(f"/page/{name}", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get(f"/page/{name}", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "index.html",
        "person.html",
        "..%2Fapp.py",
        "%2e%2e",
        "style.css%00",
        "main.js/",
    ],
)
async def test_nothing_else_is_sent(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/page/{name}")).status_code == 404


def test_no_file_names_another_host() -> None:
    for path in STATIC.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert ELSEWHERE.findall(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)) == [], path


def imported(name: str) -> set[str]:
    """A module and those that it imports, and these."""
    found, left = set[str](), {name}
    while left:
        found |= left
        texts = [(STATIC / each).read_text() for each in left]
        left = {n for text in texts for n in re.findall(r"from '\./(\w+\.js)'", text)} - found
    return found


def test_every_module_is_loaded_at_once() -> None:
    used: set[str] = set()
    for page in PAGES.values():
        text = (STATIC / page).read_text()
        named = re.findall(r'(?:href|src)="page/(\w+\.js)"', text)
        (main,) = re.findall(r'src="page/(\w+\.js)"', text)
        assert sorted(named) == sorted(imported(main)), page
        used |= {*named}
    assert used == {*MODULES}


def test_no_text_becomes_markup() -> None:
    for name in MODULES:
        text = (STATIC / name).read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


def test_the_page_is_light() -> None:
    assert sum(path.stat().st_size for path in STATIC.iterdir()) < MOST_BYTES
