"""Neo4j Browser on the Neo4j that the package brings: an answer drawn, and the analysts' kit."""

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from recsvc.analyst.questions import questions
from tests.browser.conftest import PATIENCE_MS
from tests.browser.reading import FULL, USER, asked
from tests.neo4j_servers import Server
from tests.waiting import until

pytestmark = [pytest.mark.neo4j, pytest.mark.browser, pytest.mark.long]

DROP = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  const main = document.querySelector('[data-testid=main]');
  for (const type of ['dragenter', 'dragover', 'drop'])
    main.dispatchEvent(new DragEvent(type, {dataTransfer, bubbles: true, cancelable: true}));
}"""


@pytest.fixture
def connected(browser: Browser, neo4j_server: Server) -> Iterator[Page]:
    """Browser, connected to the graph."""
    context = browser.new_context(
        viewport={"width": 1360, "height": 1000},
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(PATIENCE_MS)
    page, address = context.new_page(), neo4j_server.address
    page.goto(neo4j_server.browser_url)
    page.get_by_test_id("boltaddress").fill(address.uri.removeprefix("bolt://"))
    page.get_by_test_id("username").fill(address.user)
    page.get_by_test_id("password").fill(address.password)
    page.get_by_test_id("connect").click()
    expect(page.get_by_test_id("boltaddress")).to_have_count(0)
    yield page
    context.close()


def run(page: Page, text: str) -> None:
    """Paste into the editor and run, as a person does."""
    page.get_by_test_id("activeEditor").click()
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    page.keyboard.press("Control+V")
    page.get_by_test_id("editor-Run").click()


def test_the_cypher_of_an_answer_is_drawn(
    connected: Page, client: httpx.Client, screenshots: Path
) -> None:
    explanation = asked(client, **FULL)[0]["explanation"]
    run(connected, explanation["cypher"])
    drawn = connected.locator("svg g.node")
    expect(drawn.first).to_be_visible()
    # Those whom the answer does not name are drawn here: the analyst may see them.
    named = {
        node["title"] or node["id"]
        for path in explanation["paths"]
        for node in path["nodes"]
        if node["id"] is not None
    }
    assert len(named) > 2
    until(lambda: drawn.count() >= len(named))
    until(lambda: connected.locator("svg g.relationship").count() >= drawn.count() - 1)
    connected.screenshot(path=screenshots / "neo4j-browser.png")


def test_the_guide_is_played_and_a_click_asks_a_question(
    connected: Page, client: httpx.Client, screenshots: Path
) -> None:
    port = client.base_url.port
    run(connected, f":play http://localhost:{port}/analyst/guide.html")
    guide = connected.get_by_test_id("carousel")
    expect(guide).to_contain_text("What the recommender's graph can tell")
    connected.get_by_test_id("nextSlide").click()
    first = questions()[0]
    expect(guide).to_contain_text(first.title)
    guide.locator("pre.runnable, pre.code").first.click()
    expect(connected.get_by_test_id("activeEditor")).to_contain_text(first.title)
    connected.screenshot(path=screenshots / "neo4j-browser-guide.png")


def test_the_style_is_loaded(connected: Page, client: httpx.Client) -> None:
    run(connected, f":style http://localhost:{client.base_url.port}/analyst/style.grass")
    run(connected, f"MATCH (u:User {{user_id: '{USER}'}}) RETURN u")
    drawn = connected.locator("svg g.node").first
    expect(drawn).to_contain_text(USER)
    expect(drawn.locator("circle").nth(1)).to_have_attribute("fill", "#F79767")
    run(connected, "MATCH (i:Item {item_id: 'm1'}) RETURN i")  # it has no title
    expect(connected.get_by_test_id("frame").first.locator("svg g.node")).to_contain_text("m1")


def test_saved_queries_are_dropped_into_it(connected: Page, client: httpx.Client) -> None:
    content = client.get("/analyst/saved-queries.zip").content
    connected.evaluate(DROP, ["saved-queries.zip", base64.b64encode(content).decode()])
    connected.get_by_test_id("navigationFavorites").click()
    for topic in {each.topic for each in questions()}:
        expect(connected.get_by_test_id(f"savedScriptsFolder-{topic}")).to_be_visible()
    first = questions()[0]
    connected.get_by_test_id(f"expandFolder-{first.topic}").click()
    expect(connected.get_by_text(first.title)).to_be_visible()
