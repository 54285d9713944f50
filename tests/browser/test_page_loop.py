"""The page for what comes after an answer: rows, items, scenarios, experiments."""

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.reading import USER, added, asked, written
from tests.waiting import until

pytestmark = [pytest.mark.neo4j, pytest.mark.browser]


def test_the_home_shows_the_rows_of_the_service(open_page: Open, client: httpx.Client) -> None:
    path = f"/v1/users/{USER}/home"
    until(lambda: not client.get(path).json()["degraded"])
    rows = client.get(path).json()["rows"]
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


def test_an_item_is_shown_with_those_who_would_get_it(
    open_page: Open, client: httpx.Client
) -> None:
    best = asked(client)[0]["item_id"]
    answer = client.get(f"/v1/users/{USER}/recommendations").json()
    told = {"recommendation_id": answer["recommendation_id"], "item_id": best}
    kinds = ("impression", "impression", "click")
    outcomes = [{**told, "outcome_id": f"i{n}", "kind": kind} for n, kind in enumerate(kinds)]
    client.post("/v1/outcomes", json={"outcomes": outcomes}).raise_for_status()
    page = open_page(f"?user={USER}")
    page.get_by_role("link", name="About this item").click()
    page.wait_for_url(f"**view=item*about={best}*")
    expect(page.locator(".about h2").first).to_have_text(f"Song {best}")
    seen = page.locator(".exposure")
    expect(seen.get_by_role("row", name="click")).to_contain_text("50%")
    expect(seen.get_by_role("row", name="in lists")).to_contain_text(" of 100")
    near = client.get(f"/v1/items/{best}/similar").json()["items"]
    expect(page.locator(".near a")).to_have_text([item["title"] for item in near])
    # Their place is that of their own list.
    receivers = page.locator(".receivers details")
    for each in receivers.all()[:3]:
        user = each.get_attribute("data-user")
        listed_there = client.get(f"/v1/users/{user}/recommendations", params={"k": 100}).json()
        (item,) = [one for one in listed_there["items"] if one["item_id"] == best]
        expect(each.locator(".rank")).to_have_text(f"Place {item['rank']}")
        expect(each.locator("small")).to_have_text(item["explanation"]["text"])
    receivers.first.locator("summary").press("Enter")
    receivers.first.get_by_role("link").click()
    expect(page.locator(".open .row")).to_have_attribute("data-item", best)
    page.go_back()
    page.locator(".near a").first.click()
    expect(page.locator(".about h2").first).to_have_text(near[0]["title"])


def test_text_of_the_graph_is_never_markup(open_page: Open, client: httpx.Client) -> None:
    evil = "<img src=x onerror=alert(1)>"
    client.put("/v1/items/evil", json={"title": evil, "note": evil}).raise_for_status()
    page = open_page("?view=item&about=evil")
    expect(page.locator(".about h2").first).to_have_text(evil)
    expect(page.locator(".figures dd")).to_have_text(evil)
    expect(page.get_by_text("It is not among the first 100 items")).to_be_visible()
    assert page.locator("main img").count() == 0
    client.delete("/v1/items/evil").raise_for_status()
