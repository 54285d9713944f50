"""A real Chromium, in front of the real service, over a real Neo4j."""

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.ingest import ingest
from loaders.tables import FolderTables
from recsvc.refresh.pipeline import refresh
from recsvc.service.keys import KeyFile
from recsvc.settings import load_settings
from tests.conftest import QUICK, Served, refreshed, running_service
from tests.taste_tables import write_tables
from tests.waiting import PATIENCE_SECONDS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MANY = 10_000
PATIENCE_MS = round(1000 * PATIENCE_SECONDS)


def _write_named(folder: Path) -> None:
    """The made graph, with names, times and a dislike."""
    write_tables(folder)
    rows = pl.read_csv(folder / "interactions.csv")
    days = pl.Series("timestamp", range(len(rows))) * 3600 + 1_700_000_000
    rows.with_columns(days).write_csv(folder / "interactions.csv")
    names = {f"u{user}": f"Ada {user}" for user in range(240)}
    pl.DataFrame(list(names.items()), schema=["user_id", "name"], orient="row").write_csv(
        folder / "users.csv"
    )
    pl.DataFrame(
        [(f"c{n}", f"taste {n}") for n in range(6)] + [(f"x{n}", f"mood {n}") for n in range(7)],
        schema=["category_id", "name"],
        orient="row",
    ).write_csv(folder / "categories.csv")


def _write_many(folder: Path) -> None:
    """One user with as much evidence as a request may read, and one with none."""
    pl.DataFrame(
        [("collector", f"m{n}", 1_600_000_000 + n) for n in range(MANY)],
        schema=["user_id", "item_id", "timestamp"],
        orient="row",
    ).write_csv(folder / "interactions.csv")
    pl.DataFrame({"user_id": ["nobody"], "name": ["Nobody yet"]}).write_csv(folder / "users.csv")


@pytest.fixture(scope="package")
def served(
    neo4j_address: Neo4jAddress,
    session_gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Served:
    """The made graph refreshed twice: there is a version to go back to."""
    first = refreshed(neo4j_address, session_gateway, tmp_path_factory, QUICK, _write_named)
    options = QUICK.model_copy(update={"seed": 7})
    refresh(session_gateway, options, load_settings().events, home=first.home, force=True)
    folder = tmp_path_factory.mktemp("many")
    _write_many(folder)
    ingest(session_gateway, FolderTables(folder), rejects=folder / "rejects.csv", strict=True)
    return first


@pytest.fixture(scope="package")
def client(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The running service."""
    more = {"RECSVC_ANSWER_CACHE_SECONDS": "0", "RECSVC_MAX_EVIDENCE": str(MANY)}
    log = tmp_path_factory.mktemp("log") / "serve.log"
    with running_service({**served.environment, **more}, log) as service:
        yield service.client


@pytest.fixture
def key_file(served: Served) -> KeyFile:
    """The API keys of the service, which asks for one from the first that is made."""
    return KeyFile(served.home / "keys.json")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:  # pip does not bring it, and the other tests do without
        pytest.skip("there is no Chromium: apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # Root has no sandbox, which is what tests run as in a container.
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE_MS
        )
        yield chromium
        chromium.close()


@dataclass
class Opened:
    """A page, and what went on in it."""

    page: Page
    hosts: set[str] = field(default_factory=set[str])
    errors: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])

    def told(self) -> str:
        """What a person would see, and which requests were refused."""
        seen = self.page.locator("body").inner_text()
        return "\n".join([self.page.url, *self.refused, seen])


Open = Callable[..., Page]


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test failed, so that its pages are shown."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture
def open_page(
    browser: Browser, client: httpx.Client, request: pytest.FixtureRequest
) -> Iterator[Open]:
    """Opens an address of the page. Afterwards: no other host was asked, and nothing failed.

    Where the test failed, what the page showed is reported.
    """
    opened: list[Opened] = []

    def open_(address: str = "", *, errors: bool = False, **options: object) -> Page:
        context = browser.new_context(
            **{"viewport": {"width": 1360, "height": 900}, **options},
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(PATIENCE_MS)
        one = Opened(context.new_page())
        one.page.on("request", lambda asked: one.hosts.add(httpx.URL(asked.url).netloc.decode()))
        one.page.on(
            "response",
            lambda answer: (
                one.refused.append(f"{answer.status} {answer.url}") if not answer.ok else None
            ),
        )
        if not errors:
            one.page.on(
                "console",
                lambda said: one.errors.append(said.text) if said.type == "error" else None,
            )
        one.page.on("pageerror", lambda error: one.errors.append(str(error)))
        opened.append(one)
        one.page.goto(f"{client.base_url}/{address}")
        return one.page

    yield open_
    if request.node.stash.get(FAILED, False):
        for one in opened:
            request.node.add_report_section("teardown", "the page", one.told())
    for one in opened:
        one.page.context.close()
    assert {host for one in opened for host in one.hosts} <= {client.base_url.netloc.decode()}
    assert [error for one in opened for error in one.errors] == []


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures are left."""
    wanted = os.environ.get("RECSVC_SCREENSHOTS")
    folder = Path(wanted) if wanted else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
