"""The page at `/`, clicked through: what it shows is what the service answers."""

import json
import re
import shlex
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from loaders.catalogue import Query
from tests.browser.conftest import MANY, Open
from tests.browser.reading import (
    FULL,
    MINUS,
    USER,
    added,
    asked,
    copied,
    ids,
    listed,
    weighed,
    written,
)
from tests.conftest import Served
from tests.waiting import until

pytestmark = [pytest.mark.neo4j, pytest.mark.browser]


def test_a_user_is_found_by_name_with_the_keyboard(open_page: Open, client: httpx.Client) -> None:
    page = open_page()
    page.get_by_role("combobox", name="Look at a user").press_sequentially("ada 5")
    first = page.get_by_role("option").first
    expect(first).to_contain_text("Ada 5")
    page.keyboard.press("ArrowDown")
    expect(first).to_have_attribute("aria-selected", "false")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert listed(page) == ids(asked(client))
    assert parse_qs(urlsplit(page.url).query) == {"user": [USER]}
    page.get_by_role("button", name=re.compile(r"^\s*2")).first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".open .rank")).to_have_text("2")
    page.keyboard.press("Enter")
    expect(page.locator(".open")).to_have_count(0)


def test_every_number_of_the_list_is_the_services(open_page: Open, client: httpx.Client) -> None:
    page = open_page(f"?user={USER}")
    items = asked(client)
    assert listed(page) == ids(items)
    for item, row in zip(items, page.locator(".items > li").all(), strict=True):
        expect(row.locator(".score")).to_have_text(written(item["score"]))
        expect(row.locator(".title b")).to_have_text(item["title"])
        told = row.locator(".row .bar").get_attribute("aria-label") or ""
        parts = {
            name: value for name, _, value in (each.rpartition(" ") for each in told.split(", "))
        }
        assert parts == {
            signal.replace("_", " "): added(value) for signal, value in item["signals"].items()
        }
    first = items[0]["explanation"]
    expect(page.locator(".sentence")).to_have_text(first["text"])
    sums: dict[str, float] = {}
    for part in first["contributions"]:
        name = part["evidence"]["title"] or part["evidence"]["id"]
        sums[name] = sums.get(name, 0.0) + part["value"]
    for name, value in sorted(sums.items(), key=lambda each: -abs(each[1]))[:6]:
        row = page.locator(
            ".parts tbody tr", has=page.get_by_role("rowheader", name=name, exact=True)
        )
        expect(row.locator("td").last).to_have_text(added(value))
    expect(page.locator(".parts .total td").last).to_have_text(written(items[0]["score"]))


def test_evidence_has_weights_and_times(open_page: Open, client: httpx.Client) -> None:
    page = open_page(f"?user={USER}")
    evidence = client.get(f"/v1/users/{USER}/evidence").json()["evidence"]
    rows = page.locator(".piece")
    expect(rows).to_have_count(len(evidence))
    expect(rows.first.locator("b")).to_have_text(evidence[0]["title"])
    at = rows.first.locator("time").get_attribute("datetime")
    assert (
        at
        == evidence[0]["interactions"][0]["at"]
        == max(did["at"] for piece in evidence for did in piece["interactions"])
    )
    weights = [weighed(piece["weight"]) for piece in evidence if piece["weight"] is not None]
    expect(page.locator(".piece .weight")).to_have_text(weights)
    page.get_by_label("Sort the evidence").select_option("name")
    titles = sorted(p["title"] or p["id"] for p in evidence if p["kind"] == "item")
    expect(page.locator(".piece.item b")).to_have_text(
        sorted(titles, key=lambda title: (title.lower(), title))
    )
    page.get_by_label("Filter the evidence").fill(evidence[0]["title"])
    expect(rows.first.locator("b")).to_have_text(evidence[0]["title"])
    page.get_by_label("Filter the evidence").fill("no such thing")
    expect(page.get_by_text("Nothing in the evidence is called")).to_be_visible()


def test_evidence_is_sorted_by_what_it_counts(open_page: Open, client: httpx.Client) -> None:
    listens = {f"i{number}": number % 7 * 10 + 1 for number in range(30, 40)}
    events = [
        {"user_id": "listener", "item_id": item, "event": "listen", "value": value}
        for item, value in listens.items()
    ]
    client.post("/v1/events", json=events).raise_for_status()
    page = open_page("?user=listener")
    page.get_by_label("Sort the evidence").select_option("weight")
    known = client.get("/v1/users/listener/evidence").json()["evidence"]
    weights = sorted((piece["weight"] for piece in known), reverse=True)
    assert len(set(weights)) == 7
    expect(page.locator(".piece .weight")).to_have_text([weighed(weight) for weight in weights])


def test_a_random_user(open_page: Open, client: httpx.Client) -> None:
    page = open_page()
    page.get_by_role("button", name="A random user").click()
    page.wait_for_url("**/?user=*")
    user = parse_qs(urlsplit(page.url).query)["user"][0]
    assert client.get(f"/v1/users/{user}").status_code == 200
    expect(page.locator("h2", has_text=user)).to_be_visible()


def test_someone_new_picks_three_titles(open_page: Open, client: httpx.Client) -> None:
    page = open_page()
    page.get_by_role("button", name="Someone new").click()
    ready = page.locator(".start .primary")
    for number in (31, 32, 35):
        expect(ready).to_be_disabled()
        page.get_by_role("combobox", name="Something they like").fill(f"song i{number}")
        page.get_by_role("option", name=re.compile(rf"Song i{number}\b")).first.click()
    ready.click()
    body = {"evidence": [{"item_id": f"i{n}"} for n in (31, 32, 35)], **FULL}
    items = client.post("/v1/recommendations", json=body).json()["items"]
    assert listed(page) == ids(items)
    expect(page.locator(".piece b")).to_have_text(["Song i31", "Song i32", "Song i35"])
    page.reload()
    assert listed(page) == ids(items)


def test_paths_are_drawn_and_tell_about_themselves(
    open_page: Open, client: httpx.Client, served: Served
) -> None:
    page = open_page(f"?user={USER}")
    listed(page)
    drawn = page.locator("svg.graph").first
    paths = asked(client)[0]["explanation"]["paths"]
    ends = {path["nodes"][1]["title"] for path in paths if path["nodes"][1]["kind"] == "item"}
    assert ends
    for title in {*ends, asked(client)[0]["title"]}:
        expect(drawn.locator(".dot.item text", has_text=re.compile(rf"^{title}$"))).to_have_count(1)
    link = drawn.locator(".link").first
    link.focus()
    told = page.locator(".told").first
    expect(told).to_have_text(re.compile(rf"Ada 5 —[A-Z_, ]+→ .+: on .*paths?, [+{MINUS}]\d"))
    expect(link).to_have_class(re.compile(r"\bon\b"))
    title = ends.pop()
    over = [path["contribution"] for path in paths if path["nodes"][1]["title"] == title]
    drawn.locator(".dot", has_text=re.compile(rf"^{title}$")).hover()
    expect(told).to_have_text(f"{title}: {added(sum(over))} on the paths over it")
    linked = {
        (path["nodes"][2]["kind"], path["nodes"][2]["id"])
        for path in paths
        if path["nodes"][1]["title"] == title
    }
    expect(drawn.locator(".link.on")).to_have_count(1 + len(linked))
    followed = {node["id"] for node in client.get(f"/v1/users/{USER}/evidence").json()["evidence"]}
    text = page.locator("main").inner_text() + (
        page.locator("svg.graph").first.text_content() or ""
    )
    known = Query(
        "tests/users", "", "read", {}, {}, "MATCH (u:User) RETURN u.name AS name, u.user_id AS id"
    )
    for row in served.gateway.run(known):
        if row["name"] and row["id"] not in followed | {USER}:
            assert not re.search(rf"\b{row['name']}\b", text), row


def path_over(item: str, person: str | None) -> dict[str, Any]:
    """A path from what a user did over somebody, as an answer has it."""
    nodes = [("user", "u5", None), ("item", item, f"Song {item}"), ("user", person, person)]
    return {
        "contribution": 0.25,
        "nodes": [
            {"kind": kind, "id": id_, "title": title}
            for kind, id_, title in [*nodes, ("item", "z", "Song z")]
        ],
        "relationships": [
            {"type": "INTERACTED", "from": a, "to": b} for a, b in ((0, 1), (2, 1), (2, 3))
        ],
    }


def test_people_who_are_not_named_are_one_circle_for_each_piece_of_evidence(
    open_page: Open,
) -> None:
    page = open_page()
    paths = [
        path_over("a", None),
        path_over("a", None),
        path_over("b", None),
        path_over("a", "Ada"),
    ]
    drawn = page.evaluate(
        """async (paths) => {
          const { layered } = await import('./page/graph.js');
          const { dots, links } = layered(paths);
          return {
            dots: dots.map(({ name, layer, people, sum }) => [name, layer, people, sum]),
            links: links.map(({ from, to, number }) => [from.name, to.name, number]),
          };
        }""",
        paths,
    )
    assert sorted(drawn["dots"]) == [
        ["2 people", 2, 2, 0.5],
        ["Ada", 2, 0, 0.25],
        ["Song a", 1, 0, 0.75],
        ["Song b", 1, 0, 0.25],
        ["Song z", 3, 0, 1.0],
        ["somebody", 2, 1, 0.25],
        ["user u5", 0, 0, 1.0],
    ]
    assert sorted(drawn["links"]) == [
        ["2 people", "Song z", 2],
        ["Ada", "Song z", 1],
        ["Song a", "2 people", 2],
        ["Song a", "Ada", 1],
        ["Song b", "somebody", 1],
        ["somebody", "Song z", 1],
        ["user u5", "Song a", 3],
        ["user u5", "Song b", 1],
    ]


def test_a_long_name_in_the_paths_runs_into_no_other(open_page: Open) -> None:
    page = open_page()
    path, name = path_over("a", "Ada"), "W" * 100
    for node in path["nodes"]:
        node["title"] = name
    labels = page.evaluate(
        """async (path) => {
          const { graphOf } = await import('./page/graph.js');
          const figure = graphOf([path], 'z');
          document.querySelector('main').append(figure);
          return [...figure.querySelectorAll('.dot')].map((dot) => {
            const { x, width } = dot.querySelector('text').getBBox();
            return [x, x + width, dot.querySelector('title').textContent];
          });
        }""",
        path,
    )
    assert [whole for *_, whole in labels] == [name] * 4
    ends = [0, *(x for begin, end, _ in sorted(labels) for x in (begin, end)), 720]
    assert ends == sorted(ends)


def test_what_if_evidence_were_not_there(open_page: Open, client: httpx.Client) -> None:
    page = open_page(f"?user={USER}")
    before = listed(page)
    evidence = client.get(f"/v1/users/{USER}/evidence").json()["evidence"]
    gone = [piece for piece in evidence if piece["kind"] == "item"][:3]
    for piece in gone:
        page.get_by_role("button", name=f"Without {piece['title']}", exact=True).click()
        expect(page.locator(".chips li", has_text=piece["title"])).to_be_visible()
    without = [f"item:{piece['id']}" for piece in gone]
    after = asked(client, without=without)
    expect(page.locator(".row").first).to_have_attribute("data-item", after[0]["item_id"])
    assert listed(page) == ids(after) != before
    longer = ids(asked(client, k=100, explain="none"))
    for item, row in zip(after, page.locator(".row").all(), strict=True):
        was, move = longer.index(item["item_id"]) + 1, row.locator(".move")
        if was == item["rank"]:
            expect(move).to_have_text("=")
        else:
            sign = "▲" if was > item["rank"] else "▼"
            expect(move).to_have_text(f"{sign} {abs(was - item['rank'])} from {was}")
    left = [f"Song {item_id}" for item_id in before if item_id not in ids(after)]
    assert page.locator(".gone li").count() == len(left)
    page.get_by_role("button", name="Put all back").click()
    expect(page.locator(".move")).to_have_count(0)
    assert listed(page) == before
    page.go_back()
    expect(page.locator(".without .chips li")).to_have_count(3)


def test_the_counterfactual_is_one_click(open_page: Open, client: httpx.Client) -> None:
    items = asked(client)
    one = next(item for item in items if item["explanation"]["counterfactual"])
    counterfactual = one["explanation"]["counterfactual"]
    page = open_page(f"?user={USER}&open={one['item_id']}")
    instead = client.get(f"/v1/items/{counterfactual['replaced_by']}").json()["title"]
    expect(page.locator(".open .counterfactual")).to_contain_text(f"and {instead} would.")
    page.get_by_role("button", name="See that list").click()
    expect(page.locator(f".row[data-item='{counterfactual['replaced_by']}']")).to_be_visible()
    shown = listed(page)
    assert one["item_id"] not in shown
    assert counterfactual["replaced_by"] in shown
    keys = {f"{node['kind']}:{node['id']}" for node in counterfactual["without"]}
    assert set(parse_qs(urlsplit(page.url).query)["without"]) == keys


def test_filter_diversity_sort_and_size(open_page: Open, client: httpx.Client) -> None:
    page = open_page(f"?user={USER}")
    listed(page)
    page.get_by_role("combobox", name="Only in a category").fill("mood 3")
    page.get_by_role("listbox").get_by_role("option").first.click()
    page.wait_for_url("**category=x3*")
    inside = asked(client, category="x3")
    expect(page.locator(".row").first).to_have_attribute("data-item", inside[0]["item_id"])
    assert listed(page) == ids(inside)
    page.get_by_role("button", name="All but mood 3").click()
    page.get_by_role("slider", name="Diversity").focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    page.wait_for_url("**diversity=0.4*")
    diverse = ids(asked(client, diversity=0.4))
    until(lambda: listed(page) == diverse)
    page.get_by_role("combobox", name="Show").select_option("5")
    expect(page.locator(".row")).to_have_count(5)
    page.get_by_role("combobox", name="Sort", exact=True).select_option("title")
    titles = page.locator(".row .title b").all_inner_texts()
    assert titles == sorted(titles)
    page.reload()
    expect(page.locator(".row")).to_have_count(5)
    assert page.locator(".row .title b").all_inner_texts() == titles
    expect(page.get_by_role("combobox", name="Sort", exact=True)).to_have_value("title")


def test_an_answer_that_is_cut_off_is_none(open_page: Open) -> None:
    told = open_page().evaluate(
        """async () => {
          const { answer } = await import('./page/api.js');
          const asking = new AbortController();
          const cutOff = async () => { asking.abort(); throw asking.signal.reason; };
          window.fetch = async () => ({ ok: true, json: cutOff });
          return answer({ method: 'GET', path: 'v1/users' }, asking.signal).then(
            () => 'answered', (error) => error.name);
        }"""
    )
    assert told == "AbortError"


def test_a_short_list_says_why(open_page: Open, client: httpx.Client) -> None:
    asked_for = {"k": 100, "category": "x3"}
    answer = client.get(f"/v1/users/{USER}/recommendations", params=asked_for).json()
    page = open_page(f"?user={USER}&category=x3&k=100")
    expect(page.locator(".row")).to_have_count(len(answer["items"]))
    expect(page.locator(".short")).to_contain_text(answer["short"])
    page.get_by_role("button", name="All categories").click()
    expect(page.locator(".row")).to_have_count(100)
    expect(page.locator(".short")).to_have_count(0)


def test_copies_can_be_used_elsewhere(
    open_page: Open, client: httpx.Client, served: Served
) -> None:
    removed = asked(client)[0]["explanation"]["counterfactual"]["without"]
    without = [f"{each['kind']}:{each['id']}" for each in removed]
    page = open_page(f"?user={USER}&k=5&" + "&".join(f"without={each}" for each in without))
    shown = listed(page)
    assert shown != ids(asked(client))[:5]
    command = shlex.split(copied(page, page.get_by_role("button", name="Copy curl")))
    expect(page.locator("#said")).to_have_text("Copy curl: copied")
    assert command[0] == "curl"
    assert ids(httpx.get(command[1], timeout=600).json()["items"]) == shown
    cypher = copied(page, page.get_by_role("button", name="Copy as Cypher"))
    assert cypher == asked(client, without=without, k=5)[0]["explanation"]["cypher"]
    pasted = Query("tests/pasted", "", "read", {}, {}, cypher)
    assert served.gateway.run(pasted)
    assert copied(page, page.get_by_role("button", name="Copy link", exact=True)) == page.url


@pytest.mark.long
def test_a_copied_curl_of_someone_new_works(open_page: Open) -> None:
    page = open_page("?item=i31&item=i32&item=i35")
    shown = listed(page)
    command = shlex.split(copied(page, page.get_by_role("button", name="Copy curl")))
    body = json.loads(command[command.index("-d") + 1])
    assert ids(httpx.post(command[1], json=body, timeout=600).json()["items"]) == shown


def test_two_versions_or_signals_side_by_side(open_page: Open, client: httpx.Client) -> None:
    page = open_page(f"?user={USER}&view=compare")
    page.get_by_role("combobox", name="Left").select_option("signal:fastrp")
    page.get_by_role("combobox", name="Right").select_option("signal:walk3")
    page.wait_for_url("**other=signal%3Awalk3*")
    lists = [ids(asked(client, signal=name, explain="none")) for name in ("fastrp", "walk3")]
    both = len(set(lists[0]) & set(lists[1]))
    expect(page.locator(".status b")).to_have_text(f"{both} of 10 are in both lists")
    titles = page.locator(".sides section").first.locator(".title")
    expect(titles).to_have_text([f"Song {item}" for item in lists[0]])
    expect(page.locator(".lines path")).to_have_count(both)
    models = client.get("/v1/models").json()["models"]
    (old,) = [m["version"] for m in models if m.get("stored") and m["status"] == "retired"]
    page.get_by_role("combobox", name="Left").select_option("")
    page.get_by_role("combobox", name="Right").select_option(f"version:{old}")
    there = [ids(asked(client, explain="none", **v)) for v in ({}, {"version": old})]
    expect(page.locator(".sides section").last.locator(".title")).to_have_text(
        [f"Song {item}" for item in there[1]]
    )
    both = len(set(there[0]) & set(there[1]))
    expect(page.locator(".status b")).to_have_text(f"{both} of 10 are in both lists")


def test_10000_pieces_of_evidence_are_a_few_rows(open_page: Open, client: httpx.Client) -> None:
    evidence = client.get("/v1/users/collector/evidence").json()
    page = open_page("?user=collector")
    assert len(evidence["evidence"]) == evidence["seen"] == MANY
    expect(page.locator(".evidence summary")).to_contain_text("10,000 items")
    expect(page.locator(".piece").first).to_have_attribute("aria-setsize", str(MANY))
    assert page.locator(".piece").count() < 100
    page.locator(".window").evaluate("box => { box.scrollTop = box.scrollHeight; }")
    last = evidence["evidence"][-1]["id"]
    expect(page.locator(".piece b").last).to_have_text(last)
    assert page.locator(".piece").count() < 100
    page.locator(".piece button").last.focus()
    page.locator(".window").evaluate("box => { box.scrollTop -= 44; }")
    page.wait_for_timeout(50)
    assert page.evaluate("document.activeElement.ariaLabel") == f"Without {last}"
    there = page.locator(".piece b").all_inner_texts()
    assert len(set(there)) == len(there)


def test_errors_and_empty_places_say_what_to_do(open_page: Open) -> None:
    page = open_page("?user=no%20such%20user", errors=True)
    expect(page.get_by_role("alert").first).to_contain_text("No user 'no such user' in the graph")
    page = open_page("?user=..")
    expect(page.locator(".list [role=alert]")).to_contain_text("An id of one or two dots")
    page = open_page("?user=nobody")
    expect(page.get_by_text("Nothing is known about this user")).to_be_visible()
    assert listed(page)
    page = open_page(f"?user={USER}&version=99&by=version:99", errors=True)
    expect(page.locator(".list [role=alert]")).to_contain_text("No arrays of version 99")
    page = open_page(errors=True)
    page.route("**/v1/**", lambda route: route.abort())
    page.get_by_role("button", name="A random user").click()
    expect(page.get_by_role("alert")).to_contain_text("Is `recsvc serve` running?")
    page.unroute("**/v1/**")
    page.get_by_role("button", name="Try again").click()
    assert listed(page)
    page.get_by_role("combobox", name="User").fill("zzz")
    expect(page.get_by_text("No users for “zzz”")).to_be_visible()
