"""The page for what comes after an answer: rows, items, scenarios, experiments."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, Response, Route, expect

from loaders.gateway import Neo4jGateway
from tests.browser.conftest import Open
from tests.browser.reading import USER, added, asked, copied, listed, violations, written
from tests.statement import statement
from tests.waiting import until

pytestmark = [pytest.mark.neo4j, pytest.mark.browser]

PINNED = re.compile('"kind": "pin"')


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
    listed(page)
    page.get_by_role("link", name="About this item").click()
    page.wait_for_url(f"**view=item*about={best}*")
    expect(page.locator(".about h2").first).to_have_text(f"Song {best}")
    seen = page.locator(".exposure")
    expect(seen.get_by_role("row", name="click")).to_contain_text("50%")
    # Of a hundred; of fewer where the machine is busy.
    expect(seen.get_by_role("row", name="in lists")).to_contain_text(re.compile(r" of [1-9]"))
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
    expect(seen).to_be_visible()  # above what is near
    page.locator(".near a").first.click()
    expect(page.locator(".about h2").first).to_have_text(near[0]["title"])
    assert page.evaluate("document.activeElement.id") == "main"


def test_text_of_the_graph_is_never_markup(open_page: Open, client: httpx.Client) -> None:
    evil = "<img src=x onerror=alert(1)>"
    client.put("/v1/items/evil", json={"title": evil, "note": evil}).raise_for_status()
    page = open_page("?view=item&about=evil")
    expect(page.locator(".about h2").first).to_have_text(evil)
    expect(page.locator(".figures dd")).to_have_text(evil)
    expect(page.get_by_text("and not among the first 100 items")).to_be_visible()
    assert page.locator("main img").count() == 0


@pytest.fixture(autouse=True)
def nothing_left(client: httpx.Client) -> Iterator[None]:
    """No experiment runs and no scenario is there after a test, however it ended."""
    yield
    for kind in ("experiments", "scenarios"):
        found = client.get(f"/v1/{kind}").json()
        for each in [*found[kind], *found.get("unreadable", [])]:
            client.delete(f"/v1/{kind}/{quote(each['name'], safe='')}").raise_for_status()


WRONG = """{
  "k": 3,
  "rules": [{"kind": "pin", "item_id": "i31", "place": 0}],
  "filter": []
}"""


def fill(page: Page, document: dict[str, Any] | str) -> None:
    """Write a document."""
    text = document if isinstance(document, str) else json.dumps(document, indent=2)
    page.get_by_role("textbox", name="The document of").fill(text)


def confirm(page: Page, action: str) -> None:
    page.get_by_role("button", name=action, exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name=action.split(" to")[0]).click()


def test_a_scenario_is_told_what_is_wrong_where_it_is(open_page: Open) -> None:
    page = open_page(f"?user={USER}&view=scenarios", errors=True)
    page.get_by_role("textbox", name="A new one").fill("front/page")
    page.get_by_role("button", name="Write it").click()
    expect(page.get_by_text("Not stored yet")).to_be_visible()
    fill(page, WRONG)
    faults = page.get_by_role("list", name="What is wrong").get_by_role("listitem")
    expect(faults.first).to_contain_text("Line 3")
    expect(faults).to_contain_text(["rules.0.pin.place: ", "filter: "])
    expect(page.locator(".editor mark")).to_have_text(['"place": 0', '"filter": []'])
    page.get_by_role("button", name="Line 3").press("Enter")
    assert page.evaluate("getSelection().toString()") == '"place": 0'
    fill(page, '{\n"k" 3}')
    expect(faults).to_have_text(["Line 2 expected a colon, found “3”"], use_inner_text=True)


def test_nobody_writes_before_what_is_stored_is_there(open_page: Open) -> None:
    """It would come in between: what is written then stands before or after what was."""
    page, late = open_page(), list[Route]()
    page.route("**/v1/scenarios", lambda route: late.append(route), times=1)
    with page.expect_request("**/v1/scenarios"):
        page.goto(f"{page.url}?user={USER}&view=scenarios&about=front")
    document = page.get_by_role("textbox", name="The document of")
    expect(document).not_to_be_editable()
    expect(page.get_by_role("button", name="Store")).to_be_disabled()
    until(lambda: page.wait_for_timeout(20) or late)
    late[0].continue_()
    fill(page, {"k": 4})
    expect(page.locator(".trial li")).to_have_count(4)


def test_a_scenario_is_tried_stored_and_rolled_back(open_page: Open, client: httpx.Client) -> None:
    last = asked(client, explain="none")[-1]["item_id"]
    first = {"k": 4, "rules": [{"kind": "pin", "item_id": last, "place": 2}]}
    page = open_page(f"?user={USER}&view=scenarios&about=front", errors=True)
    fill(page, first)
    answer = client.post("/v1/scenarios/front/try", json={"scenario": first, "user_id": USER})
    tried = answer.raise_for_status().json()
    rows = page.locator(".trial li")
    expect(rows).to_have_count(4)
    for item, row in zip(tried["after"]["items"], rows.all(), strict=True):
        expect(row).to_have_attribute("data-item", item["item_id"])
    expect(rows.nth(1)).to_contain_text("▲ 8 from 10")
    expect(rows.nth(1)).to_contain_text("pin: place 2")
    expect(page.locator(".gone li")).to_have_count(sum(m["after"] is None for m in tried["moves"]))
    confirm(page, "Store")
    expect(page.locator(".note")).to_have_text("Stored as revision 1.")
    expect(page.locator(".status b")).to_have_text("Nothing moves")
    # Somebody else stores one meanwhile.
    client.put("/v1/scenarios/front", json={"k": 9}).raise_for_status()
    fill(page, {"k": 3})
    confirm(page, "Store")
    refused = page.get_by_role("alert")
    expect(refused).to_contain_text("revision 2 is stored, and revision 1 was seen")
    refused.get_by_role("button", name="Look again").click()
    expect(refused).to_have_count(0)
    expect(page.get_by_label("Revision")).to_have_value("2")  # it has looked
    expect(page.get_by_role("textbox", name="The document of")).to_have_value('{\n  "k": 3\n}')
    late: list[Route] = []
    page.route("**/v1/scenarios", lambda route: late.append(route), times=1)
    confirm(page, "Store")
    expect(page.locator(".note")).to_have_text("Stored as revision 3.")
    page.get_by_label("Revision").select_option("1")
    expect(page.get_by_role("textbox", name="The document of")).to_have_value(PINNED)
    # What is stored comes after the revision that was asked for since.
    with page.expect_response("**/v1/scenarios"):
        late[0].continue_()
    page.wait_for_timeout(500)
    expect(page.get_by_label("Revision")).to_have_value("1")
    confirm(page, "Roll back to it")
    expect(page.locator(".note")).to_have_text("Revision 1 is stored as revision 4.")
    stored = client.get("/v1/scenarios/front").json()
    assert (stored["revision"], stored["scenario"]) == (4, first)
    page.get_by_role("link", name="All scenarios").click()
    expect(page.locator(".stored li")).to_contain_text(["front1 rule, k 4 · revision 4"])
    page.get_by_role("link", name="front", exact=True).click()
    confirm(page, "Delete")
    expect(page.get_by_text("Not stored yet")).to_be_visible()
    assert client.get("/v1/scenarios/front").status_code == 404


def shown_to_everybody(client: httpx.Client, scenario: str) -> None:
    """Impressions and clicks of lists of everybody: most of the second variant are clicked."""
    body = {"k": 1, "explain": "none", "scenario": scenario}
    answers: list[dict[str, Any]] = []
    for first in range(0, 240, 80):
        users = [f"u{number}" for number in range(first, first + 80)]
        answer = client.post("/v1/recommendations/batch", json={**body, "user_ids": users})
        answers += answer.json()["answers"]
    outcomes: list[dict[str, Any]] = []
    for number, answer in enumerate(answers):
        told = {"recommendation_id": answer["recommendation_id"]}
        told |= {"item_id": answer["items"][0]["item_id"]}
        outcomes.append({**told, "outcome_id": f"s{number}", "kind": "impression"})
        if number % 10 < (9 if answer["variant"]["name"] == "long" else 5):
            outcomes.append({**told, "outcome_id": f"c{number}", "kind": "click"})
    client.post("/v1/outcomes", json={"outcomes": outcomes}).raise_for_status()


def test_an_experiment_is_looked_at_and_stopped(open_page: Open, client: httpx.Client) -> None:
    client.put("/v1/scenarios/shelf", json={"k": 5}).raise_for_status()
    variants = [{"name": "now", "share": 0.5}, {"name": "long", "share": 0.5, "version": 1}]
    body = {"variants": variants, "scenario": "shelf"}
    client.put("/v1/experiments/blend", json=body).raise_for_status()
    shown_to_everybody(client, "shelf")
    page = open_page("?view=experiments")
    expect(page.locator(".stored li")).to_contain_text(["now 50%, long 50%"])
    page.get_by_role("link", name="blend").click()
    (found,) = client.get("/v1/experiments/blend/results").json()["results"]
    for result in found["variants"]:
        row = page.locator(f"[data-variant={result['variant']}]")
        expect(row).to_contain_text(f"{result['followed']} of {result['shown']}")
    better = page.locator("[data-variant=long] .verdict")
    low = 100 * found["variants"][1]["difference"]["low"]
    expect(better).to_contain_text("better")
    expect(better).to_contain_text(f", +{low:.3g} to +")
    assert violations(page) == []

    skewed = client.get("/v1/experiments/blend/results").json()
    skewed["results"][0] |= {"mismatch": True, "sample_ratio_p_value": 1e-9}
    skewed["last_days"] = 90
    page.route("**/results?*", lambda route: route.fulfill(json=skewed))
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("Do not compare these rates")
    expect(page.get_by_text("results of the last 90 days")).to_be_visible()
    expect(better).to_contain_text("not comparable")
    page.get_by_label("Then everybody gets").select_option("long")
    confirm(page, "Stop")
    note = page.locator("p.note:not(.bad)")
    expect(note).to_have_text("It is stopped. Everybody gets long from now on.")
    assert client.get("/v1/experiments/blend").json()["promoted"] == "long"
    expect(page.get_by_text("stopped, long promoted")).to_be_visible()
    page.get_by_label("Then everybody gets").select_option("")
    page.get_by_role("button", name="Change", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Change").click()
    expect(note).to_have_text("It is stopped. Everybody gets what they would without it.")
    assert client.get("/v1/experiments/blend").json()["promoted"] is None


def test_a_list_says_which_variant_it_is(open_page: Open, client: httpx.Client) -> None:
    variants = [{"name": name, "share": 0.5} for name in ("now", "same")]
    client.put("/v1/experiments/halves", json={"variants": variants}).raise_for_status()
    name = client.get(f"/v1/users/{USER}/recommendations").json()["variant"]["name"]
    page = open_page(f"?user={USER}")
    expect(page.get_by_text(f"variant {name} of the experiment halves")).to_be_visible()
    client.delete("/v1/experiments/halves").raise_for_status()
    page.reload()
    expect(page.get_by_text(re.compile(r"^\d+ items in .* ms"))).to_be_visible()
    expect(page.get_by_text("variant")).to_have_count(0)


@pytest.mark.long
def test_an_experiment_is_begun_with_what_is_wrong_shown(
    open_page: Open, client: httpx.Client, screenshots: Path
) -> None:
    client.put("/v1/scenarios/shelf", json={"k": 5}).raise_for_status()
    page = open_page("?view=experiments", errors=True)
    page.get_by_label("A new one").fill("a/b")
    page.keyboard.press("Enter")
    editor = page.get_by_label("The document of a/b")
    variants = [{"name": "now", "share": 0.5}, {"name": "new", "share": 0.7, "scenario": "shelf"}]

    def begin(document: dict[str, Any], action: str = "Begin") -> None:
        editor.fill(json.dumps(document, indent=2))
        page.get_by_role("button", name=action, exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Begin").click()

    expect(page.get_by_text("Not stored yet")).to_be_visible()
    expect(page.get_by_label("Results")).to_be_hidden()
    begin({"variants": variants, "effect": "large"})
    faults = page.get_by_label("What is wrong").locator("li")
    expect(faults).to_contain_text([re.compile("Line 13.*effect: ")])
    begin({"variants": variants})
    expect(faults).to_contain_text(["expected shares of 1 or less in sum, got 1.2"])
    page.screenshot(path=screenshots / "experiment-refused.png", full_page=True)
    assert violations(page) == []
    variants[1]["share"] = 0.5
    begin({"variants": [variants[0], variants[1] | {"scenario": "nowhere"}]})
    expect(page.get_by_role("alert")).to_contain_text("No scenario 'nowhere' is stored")
    begin({"variants": variants})
    expect(page.locator("p.note:not(.bad)")).to_have_text("It runs.")
    expect(page.get_by_text("running")).to_be_visible()
    stored = client.get("/v1/experiments/a%2Fb").json()
    assert (stored["revision"], stored["variants"][1]["scenario"]) == (1, "shelf")

    # Somebody else puts it, and changes its scenario.
    client.put("/v1/experiments/a%2Fb", json={"variants": variants}).raise_for_status()
    client.put("/v1/scenarios/shelf", json={"k": 6}).raise_for_status()
    page.get_by_text("The document", exact=True).click()
    begin({"variants": variants, "kind": "purchase"}, "Begin anew")
    expect(page.get_by_role("alert")).to_contain_text("revision 2 is stored, and revision 1 was")
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("scenario shelf, revision 2")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(editor).to_have_value(re.compile("purchase"))  # what was typed stays
    begin({"variants": variants, "kind": "purchase"}, "Begin anew")
    expect(page.locator("p.note:not(.bad)")).to_have_text("It runs.")
    expect(page.get_by_text("Changed meanwhile")).to_be_hidden()
    assert client.get("/v1/experiments/a%2Fb").json()["kind"] == "purchase"
    page.get_by_text("The document", exact=True).click()
    command = shlex.split(copied(page, page.get_by_role("button", name="Copy curl")))
    address = f"{client.base_url}/v1/experiments/a%2Fb?revision=3"
    assert command[:4] == ["curl", "-X", "PUT", address]
    assert json.loads(command[-1]) == {"variants": variants, "kind": "purchase", "effect": 0.1}
    confirm(page, "Delete")
    expect(page.get_by_text("Not stored yet")).to_be_visible()
    assert client.get("/v1/experiments").json() == {"experiments": [], "unreadable": []}


TROUBLE = "experiment 'odd': variants: Field required"


@pytest.mark.long
def test_an_experiment_that_cannot_be_read_is_named_and_deleted(
    open_page: Open, client: httpx.Client, session_gateway: Neo4jGateway
) -> None:
    statement(session_gateway, "CREATE (:Experiment {name: 'odd', revision: 2, document: '{}'})")
    until(lambda: client.get("/v1/experiments").json()["unreadable"])
    page = open_page("?view=experiments", errors=True)
    expect(page.locator(".stored li")).to_have_text(
        ["oddexperiment 'odd': variants: Field required"]
    )
    page.get_by_role("link", name="odd").click()
    expect(page.locator(".status")).to_have_text(TROUBLE)
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    assert violations(page) == []
    confirm(page, "Delete")
    expect(page.get_by_text("Not stored yet")).to_be_visible()
    assert client.get("/v1/experiments").json()["unreadable"] == []


LONG = "W" * 100


@pytest.fixture
def explored(client: httpx.Client) -> None:
    """Everybody's lists try out items, by an experiment whose names have no space."""
    document = {"exploration": {"share": 0.5, "within": 10, "by": "uniform", "kind": "click"}}
    client.put(f"/v1/scenarios/{LONG}", json=document).raise_for_status()
    variants = [{"name": LONG[:-1] + end, "share": 0.5, "scenario": LONG} for end in "AB"]
    client.put(f"/v1/experiments/{LONG}", json={"variants": variants}).raise_for_status()


@pytest.mark.usefixtures("explored")
@pytest.mark.long
def test_what_is_tried_out_is_what_is_explained(open_page: Open) -> None:
    page = open_page()
    responses: list[Response] = []
    page.on("response", lambda one: responses.append(one) if "explain=" in one.url else None)
    page.goto(f"{page.url.partition('?')[0]}?user={USER}")
    expect(page.locator(".detail[data-whole]")).to_be_visible()
    page.locator(".take").first.click()
    expect(page.locator(".move").first).to_be_visible()
    expect(page.locator(".detail[data-whole]")).to_be_visible()
    command = shlex.split(copied(page, page.get_by_role("button", name="Copy curl").first))
    assert f"recommendation_id={responses[0].json()['recommendation_id']}" in command[1]
    lists = [one.json()["items"] for one in responses]
    assert [len(items) for items in lists] == [10, 10, 100, 10, 10]
    first, *others = [
        [item["item_id"] for item in items if "tried out with" in item.get("placed_by", "")]
        for items in lists
    ]
    assert others[:2] == [first, first]
    # Without the evidence an item may come to its place by its score.
    assert others[2] == others[3] == [item for item in first if item in others[3]]


@pytest.mark.long
@pytest.mark.usefixtures("explored")
def test_an_experiment_fits_a_phone_whatever_its_names(open_page: Open) -> None:
    page = open_page("?view=experiments", viewport={"width": 360, "height": 800})
    page.get_by_role("link", name=LONG).click()
    expect(page.locator("[data-variant]")).to_have_count(2)
    assert page.evaluate("document.scrollingElement.scrollWidth") == 360


def test_the_metrics_of_versions_are_drawn(open_page: Open, client: httpx.Client) -> None:
    page = open_page("?view=versions")
    models = client.get("/v1/models").json()["models"]
    chart = page.locator(".charts figure", has_text="ndcg@20")
    titles = chart.locator("circle title")
    expect(titles).to_have_count(sum("ndcg@20" in each.get("metrics", {}) for each in models))
    told = " ".join(titles.all_text_contents())
    for each in models:
        mean = each["metrics"]["ndcg@20"]
        assert f"{each['model']} {each['version']} ({each['status']}): {mean:.4f}, " in told
