"""The page that a link opens: what is shown is what the service knows, and each change is real."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.conftest import MANY, Open
from tests.browser.reading import added, violations, weighed, written
from tests.browser.test_page_appearance import LENGTHENED
from tests.conftest import Served
from tests.waiting import until

pytestmark = [pytest.mark.neo4j, pytest.mark.browser]

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True,
}  # fmt: skip
LISTENED = ["i31", "i32", "i35"]

Person = Callable[..., str]
Link = Callable[..., str]


@pytest.fixture
def link(served: Served) -> Link:
    """Has the command make a link; what follows the address of the service."""

    def link_(user_id: str, *options: str) -> str:
        made = served.run("person-link", user_id, "--json", *options)
        assert made.returncode == 0, made.stderr
        address = urlsplit(json.loads(made.stdout)["link"])
        return f"person{f'?{address.query}' if address.query else ''}#{address.fragment}"

    return link_


@pytest.fixture
def person(client: httpx.Client) -> Iterator[Person]:
    """Makes somebody who listened, follows and prefers; they are deleted afterwards."""
    made: list[str] = []

    def person_(user_id: str) -> str:
        made.append(user_id)
        path = f"/v1/users/{user_id}"
        body = {"name": "Ada Å", "town": "Ulm", "preferences": [{"category_id": "c1"}]}
        client.put(path, json=body).raise_for_status()
        client.put(f"{path}/follows/u1", json={}).raise_for_status()
        events = [
            {"user_id": user_id, "item_id": item, "event": event}
            for item in LISTENED
            for event in ("listen", "like")
        ]
        client.post("/v1/events", json=events).raise_for_status()
        return user_id

    yield person_
    for user_id in made:
        client.delete(f"/v1/users/{user_id}")


def listed(page: Page) -> list[str]:
    """Ids of the list, when it has come."""
    expect(page.locator(".list:not([aria-busy]) .mine")).to_be_visible()
    return page.locator(".mine > li").evaluate_all("rows => rows.map((row) => row.dataset.item)")


def best(client: httpx.Client, user_id: str) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/users/{user_id}/recommendations", params={"explain": "full"})
    return answer.raise_for_status().json()["items"]


def evidence(client: httpx.Client, user_id: str) -> list[dict[str, Any]]:
    return client.get(f"/v1/users/{user_id}/evidence").raise_for_status().json()["evidence"]


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["item_id"] for item in items]


def test_somebody_sees_why_and_takes_back_and_deletes(
    open_page: Open, client: httpx.Client, person: Person, link: Link
) -> None:
    user = person("ada-1")
    page = open_page(link(user))
    items = best(client, user)
    assert listed(page) == ids(items)
    expect(page.get_by_text("You are Ada Å here.")).to_be_visible()
    expect(page.locator("header bdi")).to_have_text("Ada Å")  # a name may turn the text around
    expect(page.locator(".figures").first).to_contain_text("Ulm")
    first, name = items[0], items[0]["title"]
    expect(page.locator(".mine > li").first).to_contain_text(first["explanation"]["text"])
    expect(page.locator(".piece .weight")).to_have_text(
        [weighed(piece["weight"]) for piece in evidence(client, user)]
    )

    page.get_by_role("button", name=f"Why {name}", exact=True).click()
    why = page.locator(".mine .detail:visible")
    expect(why.locator(".total td").last).to_have_text(written(first["score"]))
    for signal, value in first["signals"].items():
        told = f"{signal.replace('_', ' ')} {added(value)}"
        row = why.get_by_role("row", name=told, exact=True)
        expect(row).to_be_visible()
    expect(why.locator("svg.graph")).to_have_count(int(bool(first["explanation"]["paths"])))

    page.get_by_role("button", name=f"Hide {name}", exact=True).click()
    expect(page.locator(".notice")).to_contain_text(f"Hidden: {name}.")
    expect(page.locator("#said")).to_have_text(re.compile(r"\d+ recommendations|Hidden"))
    expect(page.locator(".gone")).to_contain_text(name)
    hidden = page.get_by_role("button", name=f"Remove {name}", exact=True)
    expect(hidden).to_be_visible()
    assert listed(page) == ids(best(client, user))
    assert first["item_id"] not in listed(page)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".notice")).to_contain_text("as it was before")
    expect(page.locator(".mine > li").first).to_contain_text(name)
    assert listed(page) == ids(items)
    expect(hidden).to_have_count(0)  # the evidence has come anew too

    page.get_by_role("button", name="Remove Song i31").click()
    asked = page.get_by_role("dialog", name="Remove Song i31?")
    asked.get_by_label("Which part").select_option("like")
    asked.get_by_role("button", name="Remove").click()
    expect(page.locator(".notice")).to_contain_text("Removed: like of Song i31")
    kinds = {
        piece["id"]: [did["event"] for did in piece["interactions"]]
        for piece in evidence(client, user)
    }
    assert kinds["i31"] == ["listen"]
    expect(page.locator(".piece", has_text="Song i31")).not_to_contain_text("more")
    listed(page)
    for what in ("Song i31", "Ada 1", "taste 1"):
        page.get_by_role("button", name=f"Remove {what}", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_role("button", name=f"Remove {what}", exact=True)).to_have_count(0)
        listed(page)  # above the evidence
    assert [piece["id"] for piece in evidence(client, user)] == [
        each for each in kinds if each not in ("i31", "u1", "c1")
    ]
    assert listed(page) == ids(best(client, user))

    with page.expect_download() as download:
        page.get_by_role("button", name="Save all as a file").click()
    assert download.value.suggested_filename == "ada-1.json"
    saved = orjson.loads(download.value.path().read_bytes())
    exported = client.get(f"/v1/users/{user}/export").json()
    assert {**saved, "exported_at": 0, "recommendations": 0} == {
        **exported, "exported_at": 0, "recommendations": 0,
    }  # fmt: skip
    page.get_by_text("What was derived from it").click()
    expect(
        page.get_by_text(f"{len(exported['events'])} events that a program sent")
    ).to_be_visible()

    delete = page.get_by_role("button", name="Delete me")
    expect(delete).to_be_disabled()
    page.get_by_label("Type delete").fill("delet")
    page.keyboard.press("Enter")
    expect(delete).to_be_disabled()
    assert client.get(f"/v1/users/{user}").status_code == 200
    page.get_by_label("Type delete").fill("delete")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="You are deleted")).to_be_focused()
    assert client.get(f"/v1/users/{user}").status_code == 404


def test_what_was_asked_for_last_is_shown_whatever_comes_last(
    open_page: Open, person: Person, link: Link
) -> None:
    page = open_page(link(person("ada-5")))
    listed(page)
    expect(page.locator(".piece")).to_have_count(len(LISTENED) + 2)
    late: list[Route] = []
    asks = re.compile(r"/v1/me/(evidence|recommendations)$")
    page.route(asks, lambda route: late.append(route) if len(late) < 2 else route.continue_())
    for what in ("Song i31", "Ada 1"):
        page.get_by_role("button", name=f"Remove {what}", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.locator(".notice")).to_contain_text(f"Removed: {what}")
    expect(page.locator(".piece")).to_have_count(len(LISTENED))
    shown = listed(page)
    until(lambda: page.wait_for_timeout(20) or len(late) == 2)
    nothing = {"evidence": [], "seen": 0, "items": [], "degraded": []}
    for route in late:
        with page.expect_response(route.request.url):
            route.fulfill(json=nothing)
    page.wait_for_timeout(500)
    expect(page.locator(".piece")).to_have_count(len(LISTENED))
    assert listed(page) == shown


def test_a_link_that_opens_nothing_says_so(
    open_page: Open, client: httpx.Client, person: Person, link: Link, screenshots: Path
) -> None:
    user = person("ada-2")
    old, new = link(user), link(user, "--renew")
    page = open_page("person", **PHONE, errors=True)
    expect(page.get_by_role("heading", name="A link is missing")).to_be_focused()
    with page.expect_event("load"):  # it loads itself anew
        page.goto(f"{client.base_url}/person#something-else")
    expect(page.get_by_role("heading", name="A link is missing")).to_be_focused()
    for address, why in (
        (old, "A newer link has taken the place of this one"),
        (new[:-2], "This link is not whole or not of this service"),
        ("person#recsvc_person_.", "This link is not whole or not of this service"),
    ):
        page.goto("about:blank")
        page.goto(f"{client.base_url}/{address}")
        expect(page.get_by_role("heading", name="This link opens nothing")).to_be_focused()
        expect(page.locator("main")).to_contain_text(re.compile(why, re.IGNORECASE))
        assert violations(page) == []
    page.screenshot(path=screenshots / "person-refused.png")
    page.goto("about:blank")
    page.goto(f"{client.base_url}/{new}")
    listed(page)
    expect(page.locator(".piece").first).to_be_visible()
    client.delete(f"/v1/users/{user}").raise_for_status()
    person(user)  # somebody else comes with the same id
    page.get_by_role("button", name=re.compile("^Hide")).first.click()
    expect(page.locator("main")).to_contain_text("Whom this link is for was deleted")
    assert len(evidence(client, user)) == len(LISTENED) + 2


@pytest.mark.long
def test_a_phone_a_keyboard_and_a_screen_reader(
    open_page: Open, client: httpx.Client, person: Person, link: Link, screenshots: Path
) -> None:
    user = person("ada-3")
    address = link(user)
    page = open_page("person", **PHONE)
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))
    page.goto("about:blank")
    page.goto(f"{client.base_url}/{address}")
    token = address.partition("#")[2]
    name = best(client, user)[0]["title"]
    listed(page)
    page.get_by_role("button", name=f"Why {name}", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=f"Why {name}", exact=True)).to_have_attribute(
        "aria-expanded", "true"
    )
    page.get_by_text("What was derived from it").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Vectors")).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") == PHONE["viewport"]["width"]
    page.screenshot(path=screenshots / "person-phone.png", full_page=True)
    assert violations(page) == []
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Remove Song i32").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.screenshot(path=screenshots / "person-dialog.png")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name=f"Hide {name}", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    listed(page)
    page.screenshot(path=screenshots / "person-hidden.png", full_page=True)
    assert violations(page) == []
    asked = [(request.url, request.all_headers()) for request in sent]
    assert not [url for url, _ in asked if token[:40] in url]
    assert not [url for url, headers in asked if token[:40] in headers.get("referer", "")]
    assert {headers.get("authorization") for url, headers in asked if "/v1/" in url} == {
        f"Bearer {token}"
    }


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_long_names_and_much_evidence(
    open_page: Open,
    client: httpx.Client,
    person: Person,
    link: Link,
    screenshots: Path,
    scheme: str,
) -> None:
    page = open_page(**PHONE, color_scheme=scheme)
    page.add_init_script(LENGTHENED)
    page.goto(f"{client.base_url}/{link(person('ada-4'))}")
    listed(page)
    page.get_by_role("button", name=re.compile("^Why")).first.click()
    page.get_by_role("button", name=re.compile("^Remove")).first.click()
    page.screenshot(path=screenshots / f"person-long-{scheme}.png")
    assert page.evaluate("document.scrollingElement.scrollWidth") == PHONE["viewport"]["width"]
    assert violations(page) == []
    page.goto("about:blank")
    page.goto(f"{client.base_url}/{link('collector')}")
    expect(page.get_by_text(f"{MANY:,} items")).to_be_visible()
    assert page.locator(".piece").count() < 100
    page.screenshot(path=screenshots / f"person-many-{scheme}.png", full_page=True)


@pytest.mark.long
@pytest.mark.parametrize("user", ["a/b", ".", "..", "a%2Fb", "#?&", "\N{PILE OF POO}" * 512])
def test_any_id_opens(open_page: Open, client: httpx.Client, link: Link, user: str) -> None:
    event = {"user_id": user, "item_id": "i31", "event": "listen"}
    client.post("/v1/events", json=[event]).raise_for_status()
    page = open_page(link(user))
    listed(page)
    page.get_by_label("Type delete").fill("delete")
    page.get_by_role("button", name="Delete me").click()
    expect(page.get_by_role("heading", name="You are deleted")).to_be_visible()
