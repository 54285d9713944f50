"""The table of docs/scale.md is what the script works out of what was measured."""

import json
import math
import subprocess
import sys
from typing import Any

import pytest

from benchmarks import scale
from loaders.shared_files import checkout_root

ROOT = checkout_root()
assert ROOT is not None
POINTS: dict[str, Any] = json.loads(scale.POINTS.read_text())
SMALL = scale.Point(1_000_000, 2.0, {"linear": 10.0, "steep": 1.0, "flat": 4.0})
LARGE = scale.Point(4_000_000, 5.0, {"linear": 40.0, "steep": 8.0, "flat": 4.0})


def test_each_step_goes_on_as_it_grew() -> None:
    assert scale.seconds(16_000_000, SMALL, LARGE) == pytest.approx(160.0 + 64.0 + 4.0)
    assert scale.seconds(16_000_000, SMALL, LARGE, 1.0) == pytest.approx(4 * (40.0 + 8.0 + 4.0))
    # Between those that were measured there is only how it grew.
    assert scale.seconds(2_000_000, SMALL, LARGE, 1.0) == pytest.approx(20.0 + 8**0.5 + 4.0)
    assert scale.seconds(4_000_000, SMALL, LARGE) == pytest.approx(52.0)


def test_memory_grows_by_the_interaction_and_has_a_least() -> None:
    assert scale.gibibytes(10_000_000, SMALL, LARGE) == pytest.approx(11.0)
    assert scale.gibibytes(100_000, SMALL, LARGE) == 2.0


def test_what_was_measured_is_shown_as_it_was() -> None:
    sizes = {int(size): each for size, each in POINTS["refresh"]["sizes"].items()}
    by_size = {row.interactions: row for row in scale.rows(POINTS)}
    shown = sizes.keys() & by_size.keys()
    assert shown
    for size in shown:
        row, seconds = by_size[size], sum(sizes[size]["seconds"].values())
        assert row.measured
        assert row.gibibytes == sizes[size]["gibibytes"]
        assert row.hours == pytest.approx((seconds / 3600,) * 2)
    assert [each.measured for each in by_size.values()].count(True) == len(shown)
    items = POINTS["answer"]["items"]
    assert scale.milliseconds(items, POINTS) == POINTS["answer"]["milliseconds"]
    more = scale.milliseconds(items + POINTS["scoring"]["items"], POINTS)
    assert more == pytest.approx(
        POINTS["answer"]["milliseconds"] + POINTS["scoring"]["milliseconds"]
    )


def test_machines_hold_a_refresh_and_end_it_within_a_night() -> None:
    for row in scale.rows(POINTS):
        assert row.machines * scale.ROOM * scale.MACHINE_GIBIBYTES >= row.gibibytes
        assert row.machines * scale.NIGHT_HOURS >= row.hours[0]
        assert row.hours[0] <= row.hours[1]
        assert math.isfinite(row.milliseconds)


def test_the_page_has_the_table_that_the_script_prints() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/scale.py"], capture_output=True, text=True, check=True,
        cwd=ROOT,
    )  # fmt: skip
    page = (ROOT / "docs" / "scale.md").read_text()
    assert done.stdout.partition("\n\n")[0] in page
