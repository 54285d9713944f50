"""The page for what comes after an answer: rows, items, scenarios, experiments."""

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.reading import USER, added, written

pytestmark = [pytest.mark.neo4j, pytest.mark.browser]


def test_the_home_shows_the_rows_of_the_service(open_page: Open, client: httpx.Client) -> None:
    rows = client.get(f"/v1/users/{USER}/home").json()["rows"]
    page = open_page(f"?user={USER}&view=home")
    shelves = page.locator(".shelf")
    expect(shelves.locator("h3")).to_have_text([row["title"] for row in rows])
    for row, shelf in zip(rows, shelves.all(), strict=True):
        expect(shelf.locator(".cards b")).to_have_text([item["title"] for item in row["items"]])
        texts = [item["explanation"]["text"] for item in row["items"]]
        expect(shelf.locator(".cards small")).to_have_text(texts)
    item = rows[0]["items"][1]
    why = shelves.first.get_by_role("button", name=f"Why {item['title']}", exact=True)
    why.press("Enter")
    expect(why).to_have_attribute("aria-expanded", "true")
    parts = shelves.first.locator(".parts").first.locator("td")
    largest = sorted(item["signals"].values(), key=lambda value: -abs(value))
    expect(parts).to_have_text([added(value) for value in largest])
    expect(shelves.first.locator(".total td")).to_have_text(written(item["score"]))
    why.press("Enter")
    expect(shelves.first.locator(".parts")).to_have_count(0)
