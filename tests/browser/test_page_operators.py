"""The page for operators: keys, versions, refreshes. Last: from then on the service wants a key."""

import shlex
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from loaders.catalogue import Query
from recsvc.service.keys import KeyFile, Scope
from tests.browser.conftest import Open
from tests.browser.reading import FULL, USER, copied, ids, listed, violations
from tests.conftest import Served

MANY_ITEMS = Query(
    "tests/many_items", "", "write", {}, {},
    "MATCH (i:Item) WHERE i.item_id STARTS WITH 'm' DETACH DELETE i",
)  # fmt: skip

pytestmark = [pytest.mark.neo4j, pytest.mark.browser]


def use_key(page: Page, key: str) -> None:
    dialog = page.get_by_role("dialog", name="Which API key?")
    dialog.get_by_label("API key").fill(key)
    dialog.get_by_role("button", name="Use it").click()


def test_versions_are_rolled_back(open_page: Open, client: httpx.Client) -> None:
    """Late: it changes what is active."""
    page = open_page("?view=versions")
    models = client.get("/v1/models").json()["models"]
    expect(page.locator(".versions > section").first.locator("tbody tr")).to_have_count(len(models))
    active = {m["model"]: m for m in models if m["status"] == "active"}
    row = page.locator("tr.active", has_text="hybrid")
    expect(row).to_contain_text(f"{active['hybrid']['metrics']['ndcg@20']:.4f}")
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("button", name="Cancel").click()
    assert client.get("/v1/models").json()["models"] == models
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator(".note", has_text="Active now: ")).to_contain_text("hybrid 1")


@pytest.mark.long
def test_a_refresh_is_begun_and_watched(
    open_page: Open, client: httpx.Client, served: Served
) -> None:
    """Late: it changes what is active, and refreshes without what makes that slow."""
    served.gateway.run(MANY_ITEMS)
    page = open_page("?view=versions")
    before = len(client.get("/v1/refreshes").json()["refreshes"])
    page.get_by_role("button", name="Start a refresh").click()
    expect(page.get_by_role("dialog")).to_contain_text("fastrp, walk3")
    page.get_by_role("dialog").get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".run")).to_have_count(before + 1)
    newest = page.locator(".run").first
    expect(newest.locator(".steps li")).not_to_have_count(0)
    expect(newest.locator(".state")).not_to_have_text("running")
    run = client.get("/v1/refreshes").json()["refreshes"][0]
    expect(newest.locator(".state")).to_have_text(run["state"])
    expect(newest.locator(".steps li")).to_have_count(len(run["steps"]))


def test_a_key_is_asked_for_and_does_what_it_is_for(
    open_page: Open, client: httpx.Client, key_file: KeyFile, screenshots: Path
) -> None:
    """Last: a service that had keys once asks for one until it is started again without."""
    read, admin = key_file.create("look", Scope.READ), key_file.create("run", Scope.ADMIN)
    page = open_page(f"?user={USER}", errors=True)
    expect(page.get_by_role("dialog")).to_have_count(1)
    page.screenshot(path=screenshots / "key.png")
    assert violations(page) == []
    use_key(page, "wrong")
    expect(page.get_by_role("alert").first).to_contain_text("none of this service's")
    use_key(page, read)
    headers = {"Authorization": f"Bearer {read}"}
    path = f"/v1/users/{USER}/recommendations"
    assert listed(page) == ids(client.get(path, params=FULL, headers=headers).json()["items"])
    command = shlex.split(copied(page, page.get_by_role("button", name="Copy curl")))
    assert command[2:] == ["-H", "Authorization: Bearer $RECSVC_KEY"]
    page.get_by_role("link", name="Compare").click()
    page.get_by_role("combobox", name="Left").select_option("signal:fastrp")
    expect(page.locator(".sides section")).to_have_count(2)
    page.get_by_role("link", name="Scenarios").click()
    page.get_by_role("textbox", name="A new one").fill("front")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Store").click()
    page.get_by_role("dialog").get_by_role("button", name="Store").click()
    expect(page.get_by_role("alert").first).to_contain_text("this needs one for admin")
    page.get_by_role("link", name="Versions").click()
    expect(page.get_by_role("alert").first).to_contain_text("this needs one for admin")
    another = page.get_by_role("button", name="Use another key")
    expect(another).to_have_count(2)
    another.first.click()
    use_key(page, admin)
    expect(page.locator("tr.active", has_text="hybrid")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the page of this run").first.click()
    run = client.get("/v1/refreshes", headers={"X-API-Key": admin}).json()["refreshes"][0]
    saved = client.get(run["report"], headers={"X-API-Key": admin})
    assert download.value.path().read_bytes() == saved.content
    assert read not in page.content() + page.url
    another_tab = page.context.new_page()
    another_tab.goto(page.url)
    expect(another_tab.get_by_role("dialog")).to_have_count(1)
