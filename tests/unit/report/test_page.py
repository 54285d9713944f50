"""The page of a data report: what it says, that it is sound, and that hostile text stays text."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from recsvc.report import Report
from recsvc.report._distribution import distribution
from recsvc.report._figures import (
    Bin,
    Categories,
    CategoryKind,
    Cold,
    Component,
    Components,
    Degrees,
    EventKind,
    Events,
    Follows,
    ItemQuality,
    Named,
    Properties,
    Ranked,
    Size,
    Times,
    Values,
)
from recsvc.report._parts import Bars, Cell, Section, Table
from recsvc.report.page import page_text, write_page
from recsvc.report.sections import sections

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src="http://evil.example/x" onerror="alert(1)">',
    "</text></svg><script>alert(1)</script>",
    "$\\frac{1}$",
    "{{ 7 * 7 }}{% raw %}",
    "_hidden",
    "nul\0 and \x1b[31m",
    "\u202eover",
    "😀👩\u200d👧",
    "]]>&amp;&#60;",
    "x" * 512,
]
SPREAD = distribution(np.array([0, 1, 2, 2, 7, 40]))
EXACT = Values(9, 1.0, 5.0, 4.0, "exact", (Bin(1.0, 1.0, 2), Bin(5.0, 5.0, 7)))
LOGARITHMIC = Values(
    60, 1.0, 1e6, 4e3, "logarithmic",
    tuple(Bin(2.0**n, 2.0 ** (n + 1), 3) for n in range(20)),
)  # fmt: skip
FULL = Report(
    size=Size(6, 5, 3, 20, 18, 0.6, (Named("User", 6),), (Named("INTERACTED", 20),)),
    degrees=Degrees(SPREAD, SPREAD, (Ranked("u1", "", 40),), (Ranked("i1", "Blue Song", 40),)),
    events=Events(
        2,
        (
            EventKind("rating", 1_234_567, 1_234_568, 4_321_000.0, 0, 9, EXACT),
            EventKind("listen", 8, 80, 70.5, 0, 0, LOGARITHMIC),
        ),
        3,
        0,
    ),
    times=Times(
        "2019-11-03", "2020-02-01", 9, 8, 0, "month",
        tuple(Named(month, n) for n, month in enumerate(["2019-11", "2019-12", "2020-01"])),
    ),
    follows=Follows(4, SPREAD, SPREAD, 0.5),
    categories=Categories(
        4, SPREAD, SPREAD, 2, 1, 1, (CategoryKind("genre", 3, 4),), (Ranked("c", "Rock", 3),)
    ),
    components=Components(2, distribution(np.array([9, 2])), (Component(5, 4), Component(1, 1))),
    cold_users=Cold(1, 2, 1),
    cold_items=Cold(3, 4, 0),
    properties=(Properties("Item", 5, (Named("title", 4),)),),
    item_quality=ItemQuality(1, 0, 0),
    notes=("Items without a title: 1 of 5.",),
)  # fmt: skip
EMPTY = Report(
    size=Size(0, 0, 0, 0, 0, None, (), ()),
    degrees=Degrees(None, None, (), ()),
    events=Events(0, (), 0, 0),
    times=Times(None, None, 0, 0, 0, "month", ()),
    follows=Follows(0, None, None, None),
    categories=Categories(0, None, None, 0, 0, 0, (), ()),
    components=Components(0, None, ()),
    cold_users=Cold(0, 0, 0),
    cold_items=Cold(0, 0, 0),
    properties=(),
    item_quality=ItemQuality(0, 0, 0),
    notes=(),
)


def hostile(text: str) -> Report:
    """A report with the text wherever one comes from the graph."""
    kinds = tuple(replace(kind, name=text) for kind in FULL.events.top)
    return replace(
        FULL,
        size=replace(FULL.size, labels=(Named(text, 1),), types=(Named(text, 1),)),
        degrees=replace(FULL.degrees, top_users=(Ranked(text, text, 9),),
                        top_items=(Ranked(text, text, 9),)),
        events=replace(FULL.events, top=kinds),
        categories=replace(FULL.categories, kinds=(CategoryKind(text, 1, 1),),
                           top=(Ranked(text, text, 1),)),
        properties=(Properties("Item", 5, (Named(text, 4),)),),
    )  # fmt: skip


def written(report: Report, folder: Path) -> str:
    write_page(report, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def parsed(page: str) -> ElementTree.Element:
    """The page, which is well-formed XML too, with plain tag names."""
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def text_of(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """How often each tag comes where no text is hostile."""
    page = written(hostile("plain"), tmp_path_factory.mktemp("plain"))
    return Counter(element.tag for element in parsed(page).iter())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the whole report."""
    return written(FULL, tmp_path_factory.mktemp("full"))


def test_page_says_the_numbers(page: str) -> None:
    said = text_of(parsed(page))
    for text in (
        "6 users, 5 items and 3 categories", "60% of all pairs (the density)", "Blue Song",
        "Items without a title: 1 of 5.", "1,234,567", "4,321,000", "from 2019-11-03 to 2020-02-01",
        "Interactions without a time: 8 (47.1%).", "50% go both ways", "Items in no category: 2.",
        "form 2 components; the largest holds 81.82%",
    ):  # fmt: skip
        assert text in said


def test_every_table_has_a_caption_and_equal_rows(page: str) -> None:
    tables = list(parsed(page).iter("table"))
    assert len(tables) == sum(len(section.tables) for section in sections(FULL)) == 15
    for table in tables:
        caption = table.find("caption")
        assert caption is not None
        assert caption.text
        assert len({len(list(row)) for row in table.iter("tr")}) == 1
        assert all(head.get("scope") in ("row", "col") for head in table.iter("th"))


def test_every_plot_has_a_title_a_description_and_labelled_axes(page: str) -> None:
    plots = [plot for section in sections(FULL) for plot in section.plots]
    drawn = list(parsed(page).iter("svg"))
    assert len(plots) == len(drawn) == 7
    for plot, svg in zip(plots, drawn, strict=True):
        assert svg.get("role") == "img"
        named = {element.get("id"): element.text for element in list(svg)[:2]}
        assert [named[name] for name in svg.get("aria-labelledby", "").split()] == [
            plot.title, plot.description,
        ]  # fmt: skip
        texts = {element.text for element in svg.iter("text")}
        assert {plot.title, plot.x_label, plot.y_label} <= texts
        for name, _ in getattr(plot, "curves", ()):
            assert name in texts


def test_lines_differ_without_colour(page: str) -> None:
    svg = next(parsed(page).iter("svg"))
    styles = [path.get("style", "") for path in svg.iter("path")]
    lines = [style for style in styles if "stroke-width: 1.5" in style]
    assert {"stroke-dasharray" in style for style in lines} == {True, False}


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_stays_text(tmp_path: Path, plain: Counter[str], text: str) -> None:
    root = parsed(written(hostile(text), tmp_path))
    assert Counter(element.tag for element in root.iter()) == plain
    assert not [name for element in root.iter() for name in element.attrib if name[:2] == "on"]


def test_dollar_signs_are_drawn_as_they_are(tmp_path: Path) -> None:
    svgs = parsed(written(hostile("$x^2$ _y"), tmp_path)).iter("svg")
    assert "$x^2$ _y" in " ".join(text_of(svg) for svg in svgs)


@pytest.mark.parametrize("report", [FULL, EMPTY, hostile(HOSTILE[1])])
def test_page_asks_nothing_of_any_host(tmp_path: Path, report: Report) -> None:
    page = written(report, tmp_path)
    for element in parsed(page).iter():
        assert element.tag not in ("script", "link", "img", "iframe", "object", "image", "base")
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] in ("href", "src"):
                assert value.startswith("#")
    assert re.findall(r"url\((?!#)", page) == []
    assert "@import" not in page


def test_ids_are_unique_and_all_that_is_referred_to_exists(page: str) -> None:
    ids = [element.get("id") for element in parsed(page).iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    referred = re.findall(r'(?:url\(|href=")#([^)"]+)', page)
    assert referred
    assert set(referred) <= set(ids)


def test_same_report_gives_the_same_file(page: str, tmp_path: Path) -> None:
    assert written(FULL, tmp_path) == page
    other = replace(FULL, item_quality=ItemQuality(2, 0, 0))
    assert written(other, tmp_path) != page


def test_empty_graph_is_told_in_sentences(tmp_path: Path) -> None:
    root = parsed(written(EMPTY, tmp_path))
    assert list(root.iter("svg")) == []
    said = text_of(root)
    for sentence in (
        "The graph is empty.", "Nothing was found.", "No user has an interaction with an item.",
        "The graph has no interactions.", "No interaction has a value, such as a rating.",
        "No interaction has a time.", "Nobody follows anybody.", "The graph has no categories.",
    ):  # fmt: skip
        assert sentence in said


def test_months_of_many_years_are_named_by_year(tmp_path: Path) -> None:
    months = [f"{year}-{month:02d}" for year in range(1996, 2019) for month in range(1, 13)]
    times = replace(FULL.times, periods=tuple(Named(month, 5) for month in months))
    (plot,) = sections(replace(FULL, times=times))[5].plots
    ticks = list(plot.ticks)
    assert ticks[:2] == [(-0.5, "1996"), (35.5, "1999")]
    assert len(ticks) <= 10
    assert ">1999<" in written(replace(FULL, times=times), tmp_path)


def test_columns_of_a_table_hold_one_kind_of_cell() -> None:
    for report in (FULL, EMPTY, hostile("text")):
        for section in sections(report):
            for table in section.tables:
                for column in range(len(table.columns)):
                    kinds = {isinstance(row[column], str) for row in table.rows}
                    assert len(kinds) == 1


@pytest.mark.parametrize("months", range(2, 25))
def test_months_are_named_as_far_as_they_fit(months: int) -> None:
    periods = tuple(Named(f"{2019 + n // 12}-{1 + n % 12:02d}", n) for n in range(months))
    report = replace(FULL, times=replace(FULL.times, periods=periods))
    (plot,) = (p for section in sections(report) for p in section.plots
               if p.title == "Interactions by month")  # fmt: skip
    assert isinstance(plot, Bars)
    shown = [text for _, text in plot.ticks]
    assert shown == [period.name for period in periods][:: -(-months // 7)]
    assert 2 <= len(shown) <= 7  # seven letters each, where some seventy fit


def test_points_of_the_numbers_of_a_column_stand_below_each_other() -> None:
    rows: list[tuple[Cell, ...]] = [
        ("walk3", 0.164, 1_234.0, 0.5, 1e-7, 3),
        ("svd", -0.02, 0.25, None, 12.5, 40),
    ]
    table = Table("Figures", ("model", "a", "b", "c", "d", "e"), rows)
    page = page_text("Page", [Section("One", (), (table,), ())])
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", page.partition("<tbody>")[2])
    assert cells == [
        "walk3", "0.164", "1,234", "0.5", "1e-07", "3",
        "svd", "-0.020", "0.25", "\N{EN DASH}", "12.5", "40",
    ]  # fmt: skip
