"""The page of a refresh: its numbers are those of the manifest, and a user can be taken out."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest

from recsvc.errors import NotFoundError
from recsvc.evaluation.splits import id_numbers
from recsvc.refresh.page import refresh_page, refresh_sections
from recsvc.refresh.run_journal import RefreshRun, new_name, opened_run
from recsvc.refresh.run_manifest import RunIdentity, RunManifest
from recsvc.refresh.sampled_lists import (
    ListedItem,
    SampledLists,
    UserLists,
    forget,
    read_lists,
    write_lists,
)
from recsvc.report._parts import Bars, Intervals, Section, Table
from recsvc.report.page import page_text

HOSTILE = '<script>alert(1)</script><!-- "x" \u202eover'


def estimate(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.02}


def step(name: str, seconds: float | None, mebibytes: int | None, **more: Any) -> dict[str, Any]:
    memory = None if mebibytes is None else mebibytes * 2**20
    return {
        "name": name, "state": "done", "attempt": 1, "started_at": "2026-11-21T03:00:01.000+00:00",
        "seconds": seconds, "memory_bytes": memory, **more,
    }  # fmt: skip


MANIFEST: dict[str, Any] = {
    "run": "20261121T030000.000000Z-9f2c01",
    "state": "activated",
    "error": None,
    "begun_at": "2026-11-21T03:00:00.000+00:00",
    "finished_at": "2026-11-21T03:09:24.000+00:00",
    "identity": {
        "options": {"models": ["lightgcn", "walk3"], "seed": 7, "device": "cpu"},
        "events": {"listen": {"weight": 1.0, "half_life_days": None}},
        "packages": {"numpy": "2.3.1"},
    },
    "attempts": [
        {
            "at": "2026-11-21T03:00:00.000+00:00", "holder": "db1 4711 9f2c01ab", "fence": 41,
            "taken_from": None, "forced": False,
        },
        {
            "at": "2026-11-21T03:05:00.000+00:00", "holder": "db2 12 0a", "fence": 42,
            "taken_from": "db1 4711 9f2c01ab", "forced": True,
        },
    ],
    "steps": [
        step("extract", 3.25, 700),
        step("fit lightgcn", 100.0, 900, state="interrupted"),
        step("fit lightgcn", 51.5, 1200, attempt=2),
        step("gate", 0.25, 800, attempt=2),
    ],
    "new_versions": {"hybrid": 3, "lightgcn": 3},
    "versions": {"hybrid": 3, "lightgcn": 3},
    "compared_with": {
        "version": 2, "sha256": "ab", "weights": {"lightgcn": 0.5, "ease": 0.25},
        "metrics": {"lightgcn": {m: estimate(0.15) for m in ("ndcg@20", "recall@20")},
                    "hybrid": {m: estimate(0.1812) for m in ("ndcg@20", "recall@20")}},
    },
    "metrics": {
        name: {"ndcg@20": estimate(ndcg), "recall@20": estimate(ndcg + 0.1)}
        for name, ndcg in (
            ("lightgcn", 0.1611), ("walk3", 0.14), ("base", 0.03), ("hybrid", 0.2034),
        )
    },
    "by_items_known": [
        {
            "group": "4 to 6", "users": 40,
            **{who: {m: estimate(mean) for m in ("ndcg@20", "recall@20")}
               for who, mean in (("model", 0.2), ("popularity", 0.15), ("difference", 0.05))},
            "best_part": "walk3", "part": {m: estimate(0.18) for m in ("ndcg@20", "recall@20")},
        }
    ],
    "weights": {"lightgcn": 0.6123, "walk3": 1.0, "base": 0.002},
    "coverage": {"lightgcn": 0.9988, "the blend": 1.0},
    "counts": {"users": 1892, "interactions": 92834},
    "cut": {"walk3": 0.0312},
    "change": {"mean": 0.0222, "low": 0.0111, "high": 0.0333},
    "objections": [],
    "overridden": [],
    "sha256": "c0ffee",
}  # fmt: skip
REFUSED: dict[str, Any] = MANIFEST | {
    "state": "failed",
    "versions": None,
    "sha256": "",
    "error": "GateError: the new version is refused: it is worse",
    "objections": ["NDCG@20 is worse than the active version's by 0.0412"],
    "change": {"mean": -0.0412, "low": -0.0533, "high": -0.0291},
}
EARLY: dict[str, Any] = {
    name: MANIFEST[name]
    for name in ("run", "begun_at", "finished_at", "identity", "attempts", "steps")
} | {"state": "failed", "error": f"RefreshError: {HOSTILE}\nmore"}


def items(*ids: str) -> tuple[ListedItem, ...]:
    return tuple(ListedItem(each, f"Title {each}" if each != "plain" else "") for each in ids)


LISTS = SampledLists(
    2,
    (0.625, 0.5, 0.75),
    (
        UserLists(1, int(id_numbers(["ada"])[0]), 52, items("a", "b", "c", "d"),
                  items("b", "a", "new", "d")),
        UserLists(2, int(id_numbers(["bob"])[0]), 5, items("plain", "z"), items("z", "y")),
    ),
)  # fmt: skip


def section(manifest: dict[str, Any], heading: str, lists: SampledLists | None = LISTS) -> Section:
    known = RunManifest.model_validate(manifest)
    return next(s for s in refresh_sections(known, lists) if s.heading.startswith(heading))


def rows(table: Table) -> dict[Any, tuple[Any, ...]]:
    return {row[0]: row[1:] for row in table.rows}


def said(manifest: dict[str, Any], lists: SampledLists | None = LISTS) -> str:
    page = page_text("Refresh", refresh_sections(RunManifest.model_validate(manifest), lists))
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    return " ".join("".join(root.itertext()).split())


def test_an_activated_run_says_what_became_active_and_by_how_much_it_is_better() -> None:
    text = " ".join(section(MANIFEST, "What came").sentences)
    assert "hybrid 3, lightgcn 3 became active." in text
    assert "0.0222 above that of hybrid 2" in text
    assert "+0.0111 to +0.0333" in text
    tables = {table.title: rows(table) for table in section(MANIFEST, "What came").tables}
    assert tables["The run"]["time of all steps"] == ("155.0 seconds",)
    assert tables["The run"]["ended"] == ("2026-11-21 03:09:24 UTC",)
    assert tables["The run"]["most memory"] == ("1,200 MiB",)
    assert tables["Counts"]["interactions"] == (92834,)
    covered = next(table for title, table in tables.items() if title.startswith("Share of the it"))
    assert covered == {"lightgcn": (99.88,), "the blend": (100.0,)}


def test_a_refused_run_says_why_and_that_nothing_changed() -> None:
    sentences = section(REFUSED, "What came").sentences
    assert sentences[0] == "The gate refused the new version. What was active stayed active."
    assert "NDCG@20 is worse than the active version's by 0.0412." in sentences
    assert "0.0412 below that of hybrid 2" in sentences[-1]
    assert "became active" not in said(REFUSED)


def test_versions_that_cannot_be_compared_say_why() -> None:
    few = {"change": None, "compared": "3 users are few"}
    sentence = section(MANIFEST | few, "What came").sentences[-1]
    assert sentence == "Its NDCG@20 was not compared with that of hybrid 2: 3 users are few."
    first = section(MANIFEST | {"change": None, "compared_with": None}, "What came").sentences[-1]
    assert first == "No version of the blend was active to compare it with."
    broken = {name: value for name, value in REFUSED.items() if name != "change"}
    assert "ended before it could be compared" in section(broken, "What came").sentences[-1]


def test_groups_of_users_stand_beside_the_popular_list() -> None:
    (table,) = section(MANIFEST, "By how many").tables
    assert rows(table) == {"4 to 6": (40, 0.2, 0.19, 0.22, 0.15, 0.05, 0.04, 0.07, "walk3", 0.18)}
    assert "before that was measured" in section(EARLY, "By how many").sentences[0]


def test_what_is_no_better_in_the_active_version_is_a_warning() -> None:
    warned = MANIFEST | {"warnings": ["the popular list is better by 0.0100"]}
    sentences = section(warned, "What came").sentences
    assert "the popular list is better by 0.0100." in sentences
    assert "What the gate objected to:" not in sentences


def test_a_run_says_what_it_went_on_from() -> None:
    tuned = MANIFEST | {
        "start": "fine-tuned from hybrid 2: 1.24% came or went",
        "compared": "on half of what 31 users did since",
    }
    sentences = section(tuned, "What came").sentences
    assert "It was fine-tuned from hybrid 2: 1.24% came or went." in sentences
    assert "on half of what 31 users did since" in sentences[-1]
    begun = section(MANIFEST | {"start": "from scratch: it was asked for"}, "What came").sentences
    assert "It began from scratch: it was asked for." in begun


def test_what_was_forced_says_what_spoke_against_it() -> None:
    objections = REFUSED["objections"]
    forced = MANIFEST | {"objections": objections, "overridden": objections}
    sentences = section(forced, "What came").sentences
    assert sentences[1].startswith("It was activated by force.")
    assert sentences[2] == f"{objections[0]}."


def test_a_run_that_failed_early_has_a_page_too() -> None:
    text = said(EARLY, None)
    assert "RefreshError: <script>alert(1)</script>" in text
    assert "\u202e" not in text
    assert "The run ended before there were any." in text
    assert "It ended before it could be compared with the version that was active." in text
    assert "The run ended before they could be compared." in text


def test_metrics_stand_beside_those_of_the_active_version() -> None:
    ndcg, recall = section(MANIFEST, "Metrics").tables
    assert rows(ndcg)["the blend"] == (0.2034, 0.1812, 0.1934, 0.2234, 0.1712, 0.2012)
    assert rows(ndcg)["walk3"] == (0.14, None, 0.13, 0.16, None, None)
    assert rows(recall)["lightgcn"] == (0.2611, 0.15, 0.2511, 0.2811, 0.14, 0.17)
    (plot,) = section(MANIFEST, "Metrics").plots
    assert isinstance(plot, Intervals)
    series = dict(plot.series)
    assert plot.names[-1] == "the blend"
    assert series["new version"][-1] == (0.2034, pytest.approx(0.1934), pytest.approx(0.2234))
    assert [each and each[0] for each in series["active before"]] == [0.15, None, None, 0.1812]
    alone = section(MANIFEST | {"compared_with": None}, "Metrics").plots[0]
    assert isinstance(alone, Intervals)
    assert [name for name, _ in alone.series] == ["new version"]


def test_weights_of_both_versions() -> None:
    (table,) = section(MANIFEST, "Weights").tables
    assert rows(table) == {
        "lightgcn": (0.6123, 0.5, 0.1123), "walk3": (1.0, None, None), "base": (0.002, None, None),
        "ease": (None, 0.25, None),
    }  # fmt: skip


def test_time_and_memory_of_a_step_are_over_all_attempts() -> None:
    found = section(MANIFEST, "Steps")
    assert rows(found.tables[0])["fit lightgcn"] == (151.5, 1200.0, 97.7, "done", "1, 2")
    time, memory = found.plots
    assert isinstance(time, Bars)
    assert isinstance(memory, Bars)
    assert list(time.counts) == [3.25, 151.5, 0.25]
    assert list(memory.counts) == [700.0, 1200.0, 800.0]
    blind = [each | {"memory_bytes": None} for each in MANIFEST["steps"]]
    assert len(section(MANIFEST | {"steps": blind}, "Steps").plots) == 1


def test_attempts_and_options() -> None:
    (table,) = section(MANIFEST, "Attempts").tables
    assert table.rows[1][2:] == ("db2 12 0a", 42, "db1 4711 9f2c01ab", "yes")
    options, events, packages = section(MANIFEST, "What was asked").tables
    assert rows(options) == {"models": ("lightgcn, walk3",), "seed": ("7",), "device": ("cpu",)}
    assert rows(events) == {"listen": ("1.0", "none")}
    assert rows(packages) == {"numpy": ("2.3.1",)}


def test_a_list_says_what_came_in_what_went_out_and_what_moved() -> None:
    found = section(MANIFEST, "What changes")
    assert "Of a list, 62.5% stays on average (95% interval 50.0% to 75.0%)." in found.sentences
    one, two = found.tables
    assert one.title == "User 1, who knows 52 items: 3 of 4 stay (75%)"
    assert list(one.rows) == [
        ("Title b [b]", 1, 2, "up 1"), ("Title a [a]", 2, 1, "down 1"),
        ("Title new [new]", 3, None, "in"), ("Title d [d]", 4, 4, "same"),
        ("Title c [c]", None, 3, "out"),
    ]  # fmt: skip
    assert two.rows[-1] == ("plain", None, 1, "out")


def test_a_list_may_be_empty() -> None:
    nobody = UserLists(1, 1, 1, (), ())
    assert nobody.overlap == 1.0
    assert replace(nobody, now=items("a")).overlap == 0.0


def test_why_there_are_no_lists() -> None:
    failed = MANIFEST | {"lists_error": "SnapshotError: damaged"}
    assert section(failed, "What changes", None).sentences == (
        "They could not be compared: SnapshotError: damaged.",
    )
    first = MANIFEST | {"compared_with": None}
    assert "No version" in section(first, "What changes", None).sentences[0]


def test_a_page_asks_nothing_of_any_host_and_hostile_titles_stay_text() -> None:
    user = replace(LISTS.users[0], now=(ListedItem(HOSTILE, HOSTILE),))
    known = RunManifest.model_validate(MANIFEST)
    page = page_text("Refresh", refresh_sections(known, replace(LISTS, users=(user,))))
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not tags & {"script", "link", "img", "iframe", "object", "image", "base"}
    assert re.findall(r"url\((?!#)", page) == []
    assert "<!--" not in page
    assert "\u202e" not in page


@pytest.fixture
def run(tmp_path: Path) -> RefreshRun:
    return begun(tmp_path)


def begun(home: Path) -> RefreshRun:
    with opened_run(home, RunIdentity(), (), (), new_name()) as run:
        facts = {name: MANIFEST[name] for name in ("identity", "attempts", "steps", "metrics")}
        run.note(**facts)
        write_lists(run.folder, LISTS)
    return run


def test_there_is_a_page_when_a_run_has_ended_and_not_before(
    run: RefreshRun, tmp_path: Path
) -> None:
    for name in (run.name, "nonsense", f"../refreshes/{run.name}"):
        with pytest.raises(NotFoundError, match="no page of a refresh"):
            refresh_page(tmp_path, name)
    run.end("activated", versions={"hybrid": 3})
    page = refresh_page(tmp_path, run.name)
    assert "hybrid 3 became active." in page
    assert "User 2, who knows 5 items" in page
    assert str(LISTS.users[0].user) not in page
    assert {path.name for path in run.folder.iterdir()} == {"manifest.json", "lock", "lists.json"}


def test_who_is_deleted_is_on_no_page(run: RefreshRun, tmp_path: Path) -> None:
    other = begun(tmp_path)
    for each in (run, other):
        each.end("failed", error="x")
    before = refresh_page(tmp_path, run.name)
    forget(tmp_path, "user", "somebody else")
    forget(tmp_path, "item", "ada")
    forget(tmp_path, "category", "a")
    assert refresh_page(tmp_path, run.name) == before
    forget(tmp_path, "user", "ada")
    for each in (run, other):
        page = refresh_page(tmp_path, each.name)
        assert ("User 1, " in page, "Title new" in page, "User 2, " in page) == (False, False, True)
        left = read_lists(each.folder)
        assert left is not None
        assert [user.number for user in left.users] == [2]
        assert left.overlap == LISTS.overlap


def test_a_machine_without_refreshes_has_nothing_to_forget(tmp_path: Path) -> None:
    forget(tmp_path / "nowhere", "user", "ada")
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_item_takes_the_lists_with_it_that_it_is_on(
    run: RefreshRun, tmp_path: Path
) -> None:
    forget(tmp_path, "item", "z")
    left = read_lists(run.folder)
    assert left is not None
    assert left.users == LISTS.users[:1]
    forget(tmp_path, "item", "c")
    left = read_lists(run.folder)
    assert left is not None
    assert left.users == ()


def test_damaged_lists_are_as_none(tmp_path: Path) -> None:
    assert read_lists(tmp_path) is None
    (tmp_path / "lists.json").write_bytes(orjson.dumps({})[:-1])
    assert read_lists(tmp_path) is None
