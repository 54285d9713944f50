"""The page of a training run: its curves, and that hostile text stays text."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from recsvc.models import EpochRecord
from recsvc.report._drawing import draw
from recsvc.report._parts import Bars, Intervals, Lines
from recsvc.training.page import run_sections, write_run_page

HOSTILE = "<script>alert(1)</script>"
PART = [EpochRecord(n, 3.0 / n, 0.1 * n if n % 2 else None, 1234.5) for n in range(1, 6)]
WHOLE = [EpochRecord(n, 2.5 / n, None, 1234.5) for n in range(1, 4)]


def manifest(*, interrupted: bool = False) -> dict[str, Any]:
    return {
        "model": HOSTILE, "options": {"layers": 2, "models": [HOSTILE]}, "seed": 7,
        "data": {"sha256": "ab", "users": 1_234}, "epochs": 3, "metrics": {"ndcg@20": 0.5},
        "interrupted": interrupted, "seconds": 61.5, "memory_bytes": 2**21,
        "environment": {"python": "3.11", "packages": {"numpy": "2"}},
    }  # fmt: skip


def plots() -> list[Lines]:
    histories = {"fit on a part": PART, "fit on everything": WHOLE}
    found = run_sections(manifest(), histories)[1].plots
    assert all(isinstance(plot, Lines) for plot in found)
    return [plot for plot in found if isinstance(plot, Lines)]


def test_the_curves_are_those_of_the_histories() -> None:
    loss, metric = plots()
    assert dict(loss.lines) == {
        "fit on a part": [(r.epoch, r.loss) for r in PART],
        "fit on everything": [(r.epoch, r.loss) for r in WHOLE],
    }
    assert dict(metric.lines) == {"fit on a part": [(1, 0.1), (3, pytest.approx(0.3)), (5, 0.5)]}


def test_a_drawing_has_title_units_and_legend_and_does_not_need_colour() -> None:
    for plot in plots():
        text = draw(plot, "plot")
        root = ElementTree.fromstring(text)
        words = {"".join(element.itertext()) for element in root.iter() if "text" in element.tag}
        assert {plot.title, "epoch", plot.y_label, *dict(plot.lines)} <= words
        assert draw(plot, "plot") == text
    styles = [line.split("stroke-dasharray")[0] for line in draw(plots()[0], "p").split("<path")]
    assert "stroke-dasharray" in draw(plots()[0], "p")
    assert len(styles) > 2


def test_a_page_is_text_and_says_when_it_was_interrupted(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_run_page(manifest(interrupted=True), {"fit on a part": PART}, page)
    text = page.read_text()
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    assert "interrupted" in text
    write_run_page(manifest(), {}, page)
    assert "was interrupted" not in page.read_text()
    assert "not trained in epochs" in page.read_text()


def test_a_model_that_tells_no_loss_has_only_the_curve_there_is(tmp_path: Path) -> None:
    records = [record._replace(loss=None) for record in PART]
    (plot,) = run_sections(manifest(), {"fit on a part": records})[1].plots
    assert "NDCG@20" in plot.title


def test_estimates_are_drawn_with_their_intervals_and_differ_without_colour() -> None:
    plot = Intervals(
        "NDCG@20 by signal", "said", "NDCG@20, 0 to 1", ["lightgcn", "the blend"],
        [("new", [(0.2, 0.1, 0.4), (0.3, 0.2, 0.5)]), ("active", [None, (0.1, 0.0, 0.2)])],
    )  # fmt: skip
    root = ElementTree.fromstring(draw(plot, "plot"))
    words = {"".join(element.itertext()) for element in root.iter() if "text" in element.tag}
    assert {plot.title, plot.x_label, *plot.names, "new", "active"} <= words
    marks = [element.get("style", "") for element in root.iter() if element.tag.endswith("use")]
    assert sum("fill: #ffffff" in style for style in marks) == 2  # one estimate, one in the legend


def test_amounts_may_be_small() -> None:
    plot = Bars("Time", "said", "step", "seconds", [0.25, 0.5], [(0.0, "a"), (1.0, "b")], True)
    root = ElementTree.fromstring(draw(plot, "p"))
    words = {"".join(e.itertext()) for e in root.iter() if e.tag.endswith("}text")}
    assert {"a", "b", "seconds", "0", "0.15", "0.3"} <= words
