"""Each view of the page, for those who cannot see it and on a phone."""

import os
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.reading import USER, violations

pytestmark = [pytest.mark.neo4j, pytest.mark.browser]

VIEWS = {
    "start": "",
    "list": f"?user={USER}",
    "what-if": f"?user={USER}&without=item:i150&without=item:i155&diversity=0.3",
    "new": "?item=i31&item=i32&item=i35",
    "home": f"?user={USER}&view=home",
    "compare": f"?user={USER}&view=compare&by=signal:fastrp&other=signal:walk3",
    "item": "?view=item&about=i31",
    "scenario": f"?view=scenarios&about=new one&user={USER}",
    "experiments": "?view=experiments",
    "versions": "?view=versions",
}
READY = {
    "start": ".start",
    "home": ".shelf",
    "compare": ".sides",
    "item": ".exposure",
    "scenario": ".trial li",
    "experiments": ".panel .list",
    "versions": ".run .steps",
}

LENGTHENED = """Response.prototype.json = async function () {
    const long = (key, value) => value && ['title', 'name', 'text'].includes(key);
    return JSON.parse(await this.text(), (k, v) => (long(k, v) ? 'W'.repeat(100) : v));
}"""
"""All that has a name has one of 100 letters."""


def seen(page: Page, name: str) -> None:
    """Wait until a view is there."""
    expect(page.locator(READY.get(name, ".detail[data-whole]")).first).to_be_visible()
    expect(page.locator("[aria-busy]")).to_have_count(0)
    page.wait_for_timeout(100)


@pytest.mark.parametrize(
    ("scheme", "names"),
    [
        ("light", ["list", "scenario", "versions"]),
        pytest.param("light", [*VIEWS], marks=pytest.mark.long),
        pytest.param("dark", [*VIEWS], marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing_serious(
    open_page: Open, scheme: str, names: list[str], screenshots: Any
) -> None:
    page = open_page(color_scheme=scheme)
    for name in names:
        page.goto(page.url.partition("?")[0] + VIEWS[name])
        seen(page, name)
        if os.environ.get("RECSVC_SCREENSHOTS"):
            page.screenshot(path=screenshots / f"{name}-{scheme}.png", full_page=True)
        assert violations(page) == [], name


@pytest.mark.long
def test_names_without_a_space_make_no_view_wider(open_page: Open) -> None:
    page = open_page(viewport={"width": 360, "height": 800})
    page.add_init_script(LENGTHENED)
    for name, address in VIEWS.items():
        page.goto(page.url.partition("?")[0] + address)
        seen(page, name)
        assert page.evaluate("document.scrollingElement.scrollWidth") == 360, name


@pytest.mark.long
def test_a_phone_shows_all_in_its_width(open_page: Open, screenshots: Any) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    for name, address in VIEWS.items():
        page.goto(page.url.partition("?")[0] + address)
        seen(page, name)
        page.screenshot(path=screenshots / f"{name}-phone.png", full_page=True)
        assert page.evaluate("document.scrollingElement.scrollWidth") == 390, name
