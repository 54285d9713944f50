"""What the service answers, and how the page writes it."""

from decimal import Decimal
from typing import Any

import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.waiting import until

USER = "u5"
FULL: dict[str, Any] = {"explain": "full", "k": 10}
MINUS = "\N{MINUS SIGN}"


def asked(client: httpx.Client, user_id: str = USER, **options: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/users/{user_id}/recommendations", params={**FULL, **options})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["item_id"] for item in items]


def listed(page: Page) -> list[str]:
    """The ids of the list, once it is there, and the details of the open item are.

    Details that come later move what is below them. The browser makes no click of a button that
    goes down at one place and up at another.
    """
    expect(page.locator(".list:not([aria-busy]) .items")).to_be_visible()
    expect(page.locator(".items .detail:not([data-whole])")).to_have_count(0)
    return page.locator(".row").evaluate_all("rows => rows.map((row) => row.dataset.item)")


def copied(page: Page, button: Locator) -> str:
    """What a button puts into the clipboard; that it did stands on it for a moment only."""
    page.evaluate("navigator.clipboard.writeText('')")
    button.click()
    return until(lambda: page.evaluate("navigator.clipboard.readText()"))


def written(score: float) -> str:
    """A score as the page writes it."""
    if score < 0:
        return MINUS + written(-score)
    if 0 < score < 0.0005:
        return f"{Decimal(f'{score:.0e}'):f}"
    return f"{score:.3f}"


def added(value: float) -> str:
    """What something adds to a score."""
    return written(value) if value < 0 else f"+{written(value)}"


def weighed(weight: float) -> str:
    """What a piece of evidence counts."""
    size = abs(weight)
    text = f"{size:.0f}" if size >= 100 else f"{size:.1f}" if size >= 1 else f"{size:.3f}"
    return MINUS + text if weight < 0 else text


def violations(page: Page) -> list[tuple[str, str, list[str]]]:
    """What axe has against a page."""
    return [
        (each["id"], each["impact"], [node["html"] for node in each["nodes"]][:3])
        for each in Axe().run(page).response["violations"]
    ]
