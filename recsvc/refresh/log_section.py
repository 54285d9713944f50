"""What the page of a refresh says of what its version would have earned, by the log of outcomes."""

from typing import TYPE_CHECKING

from recsvc.refresh.log_comparison import LEAST_USERS, LOG_DAYS, LogComparison
from recsvc.refresh.run_manifest import RunManifest
from recsvc.report._parts import Cell, Section, Table, readable

if TYPE_CHECKING:
    from recsvc.experiments.off_policy import PolicyValue

_COLUMNS = (
    "scenario", "outcome", "users", "places", "", "an answer", "low", "high", "mean weight",
    "places that count",
)  # fmt: skip


def log_section(manifest: RunManifest) -> Section:
    """What the new version and the active one would have earned where lists explored."""
    heading, comparisons = "By what happened", manifest.by_log
    if manifest.by_log_error:
        return Section(heading, (f"It could not be estimated: {manifest.by_log_error}.",))
    if not comparisons:
        said = (
            f"Nothing was estimated: no version was active, or no scenario that explores was shown "
            f"to {LEAST_USERS} users in the last {LOG_DAYS} days."
        )
        return Section(heading, (said,))
    sentences = (
        f"Outcomes of an answer, as the lists of the last {LOG_DAYS} days say that explored. What "
        "a version has learned from what followed them makes it look better than it is, so the log "
        "speaks against a version only. Intervals are 95%, over users.",
        *(f"{readable(comparison.scenario)}: {verdict(comparison)}." for comparison in comparisons),
    )
    rows = [row for comparison in comparisons for row in _rows(comparison)]
    return Section(heading, sentences, (Table("Estimates from the log", _COLUMNS, rows),))


def verdict(comparison: LogComparison) -> str:
    """What a comparison comes to, in words."""
    if comparison.undecided is not None:
        return f"not judged, since {comparison.undecided}"
    if comparison.worse is not None:
        return "the new version is significantly worse"
    return "the new version is not significantly worse"


def _rows(comparison: LogComparison) -> list[tuple[Cell, ...]]:
    named: list[tuple[str, PolicyValue, float | None]] = [
        ("as shown", comparison.new.logged, None),
        ("new version, SNIPS", comparison.new.self_normalized, comparison.new.weight),
        ("active, SNIPS", comparison.active.self_normalized, comparison.active.weight),
        ("new version, DR", comparison.new.doubly_robust, comparison.new.weight),
        ("active, DR", comparison.active.doubly_robust, comparison.active.weight),
        ("difference, SNIPS", comparison.difference, None),
        ("difference, DR", comparison.robust_difference, None),
    ]
    first = (
        readable(comparison.scenario),
        readable(comparison.kind),
        comparison.users,
        comparison.new.places,
    )
    return [
        (
            *first, name, *(round(number, 4) for number in (value.mean, value.low, value.high)),
            None if weight is None else round(weight, 2), round(value.effective_places),
        )
        for name, value, weight in named
    ]  # fmt: skip
