"""The page for people who have read nothing: it explains itself and claims only what it knows."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.reading import FULL, USER, listed

pytestmark = [pytest.mark.neo4j, pytest.mark.browser]

LONG = "W" * 300


def answered(client: httpx.Client) -> dict[str, Any]:
    """The answer of the service for the user."""
    return client.get(f"/v1/users/{USER}/recommendations", params=FULL).json()


def told(page: Page, answer: dict[str, Any]) -> None:
    """Let the page read this in place of the service's lists."""
    page.route("**/recommendations?*", lambda route: route.fulfill(json=answer))


def test_enter_waits_for_what_was_typed(open_page: Open) -> None:
    page = open_page()
    field = page.get_by_role("combobox", name="Look at a user")
    field.fill("u1")
    expect(page.get_by_role("option").first).to_be_visible()
    field.press("1")  # what is shown was found for "u1"
    field.press("Enter")
    page.wait_for_url("**/?user=u11")
    page = open_page()
    field = page.get_by_role("combobox", name="Look at a user")
    field.fill("u12")
    field.press("Enter")  # nothing is shown yet
    page.wait_for_url("**/?user=u12")


def test_an_example_is_a_click(open_page: Open, client: httpx.Client) -> None:
    page = open_page()
    example = page.locator(".examples button").first
    name, counted = example.inner_text().split(" · ")
    assert re.fullmatch(r"[\d,]+ items?", counted)
    example.click()
    page.wait_for_url("**/?user=*")
    user = parse_qs(urlsplit(page.url).query)["user"][0]
    found = client.get("/v1/users", params={"search": user, "k": 1}).json()["found"][0]
    assert name == (found["title"] or found["id"])
    assert counted.split()[0] == f"{found['count']:,}"


def test_each_part_of_a_score_is_explained(open_page: Open) -> None:
    page = open_page(f"?user={USER}")
    listed(page)
    page.get_by_text("What do the score and the colours mean?").click()
    named = page.locator(".legend li").all_inner_texts()
    assert page.locator(".meaning dt").all_inner_texts() == named
    assert all(page.locator(".meaning dd").all_inner_texts())
    expect(page.locator(".meaning")).to_contain_text("It is not a probability or a rating")
    expect(page.locator(".head")).to_contain_text("What adds to the score")
    # No word of it is broken.
    heights = "parts => parts.map((part) => part.offsetHeight)"
    assert len({*page.locator(".head span:visible").evaluate_all(heights)} - {0}) == 1


def test_no_two_signals_have_one_colour(open_page: Open, client: httpx.Client) -> None:
    page = open_page()
    names = [
        "base", "ridge", "lightgcn", "pagerank", "node2vec", "item_user_item",
        "item_category_item", "followed_user_item", "category_item", "mine", "other", "third",
    ]  # fmt: skip
    answer = answered(client)
    for item in answer["items"]:
        item["signals"] = dict.fromkeys(names, 0.5)
    told(page, answer)
    page.goto(page.url + f"?user={USER}")
    expect(page.locator(".detail[data-whole]")).to_be_visible()
    colours = [
        page.evaluate("each => getComputedStyle(each).backgroundColor", swatch)
        for swatch in page.locator(".legend i").element_handles()
    ]
    assert len(colours) == len(set(colours)) == len(names)


def test_back_closes_what_was_opened(open_page: Open) -> None:
    page = open_page(f"?user={USER}")
    listed(page)
    page.locator(".items .row").nth(2).click()
    expect(page.locator(".open .rank")).to_have_text("3")
    page.go_back()
    expect(page.locator(".open .rank")).to_have_text("1")
    page.get_by_role("button", name="Someone new").click()
    expect(page.get_by_role("heading", name="Someone new")).to_be_visible()
    page.go_back()
    listed(page)


def test_the_list_is_three_keys_away(open_page: Open) -> None:
    page = open_page(f"?user={USER}")
    listed(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.matches('.items .row')")


def test_the_evidence_is_one_stop_of_tab(open_page: Open) -> None:
    page = open_page(f"?user={USER}")
    expect(page.locator(".piece b").first).to_be_visible()
    names = page.locator(".piece b").all_inner_texts()
    page.get_by_label("Sort the evidence").focus()
    page.keyboard.press("Tab")
    on = "document.activeElement.ariaLabel"
    assert page.evaluate(on) == f"Without {names[0]}"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(on) == f"Without {names[2]}"
    page.keyboard.press("ArrowUp")
    assert page.evaluate(on) == f"Without {names[1]}"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.piece')") is None


def test_what_is_not_known_is_not_claimed(open_page: Open, client: httpx.Client) -> None:
    page = open_page()
    told(page, answered(client) | {"degraded": ["evidence"]})
    page.goto(page.url + f"?user={USER}&without=item:i150")
    listed(page)
    expect(page.get_by_text("What rose, fell or left the list is not known")).to_be_visible()
    expect(page.locator(".move")).to_have_count(0)
    expect(page.locator(".detail[data-whole]")).to_be_visible()
    expect(page.get_by_text("No set of up to five")).to_have_count(0)
    expect(page.get_by_text("is among the reasons")).to_have_count(0)


@pytest.mark.parametrize("width", [360, pytest.param(1440, marks=pytest.mark.long)])
def test_a_title_without_a_space_makes_nothing_wider_or_longer(
    open_page: Open, client: httpx.Client, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 900})
    answer = answered(client)
    for item in answer["items"]:
        item["title"] = LONG
        item["explanation"]["text"] = f"Because you bought {LONG}."
        evidence = {"kind": "item", "id": "i1", "title": LONG}
        item["explanation"]["contributions"][0]["evidence"] = evidence
        item["explanation"]["counterfactual"] = {"without": [evidence], "replaced_by": "i2"}
    told(page, answer)
    page.goto(page.url + f"?user={USER}")
    expect(page.locator(".detail[data-whole]")).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") == width
    beyond = "parts => parts.filter(p => p.offsetWidth > p.parentElement.clientWidth).length"
    assert page.locator(".parts").evaluate_all(beyond) == 0
    assert len(page.locator(".counterfactual").inner_text()) < 2 * len(LONG) / 3


def test_what_has_no_time_is_not_sorted_by_it(open_page: Open) -> None:
    page = open_page(
        "?item=i31&item=i32&item=i33&item=i34&item=i35&item=i36&item=i37&item=i38&item=i39"
    )
    options = page.get_by_label("Sort the evidence").locator("option")
    expect(options).to_have_text(["name"])
