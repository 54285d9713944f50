"""Metrics of what is served and of how it was made, read when they are asked for.

They are the same whichever process of a service is asked, and hold no model that is gone.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import get_args

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from recsvc.graph.rows import ActiveVersion
from recsvc.recommend.readiness import PARTS
from recsvc.refresh.run_manifest import State


class ServedMetrics(Collector):
    """The active versions, and the state of the last refresh.

    Args:
        active: the active version of every model.
        last_state: of the newest refresh; None where none is known.
        deletions: how many wait to be finished.
        troubles: what is amiss, by part.
    """

    def __init__(
        self,
        active: Callable[[], Mapping[str, ActiveVersion]],
        last_state: Callable[[], str | None],
        deletions: Callable[[], int],
        troubles: Callable[[], Mapping[str, str]],
    ) -> None:
        self._active = active
        self._last_state = last_state
        self._deletions = deletions
        self._troubles = troubles

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        active = self._active()
        yield _ages(active)
        yield _metrics(active)
        yield _seconds(active)
        yield self._state()
        yield GaugeMetricFamily(
            "recsvc_deletions_pending",
            "Deletions that are not finished in all stored arrays.",
            value=float(self._deletions()),
        )
        yield self._degraded()

    def _degraded(self) -> Metric:
        family = GaugeMetricFamily(
            "recsvc_degraded",
            "1 for each part that is amiss, as /health/ready says why; 0 for the others.",
            labels=("part",),
        )
        troubles = self._troubles()
        for part in PARTS:
            family.add_metric((part,), float(part in troubles))
        return family

    def _state(self) -> Metric:
        family = GaugeMetricFamily(
            "recsvc_last_refresh_state",
            "1 for the state of the newest refresh of this RECSVC_HOME.",
            labels=("state",),
        )
        last_state = self._last_state()
        for state in get_args(State) if last_state is not None else ():
            family.add_metric((state,), float(state == last_state))
        return family


def _ages(active: Mapping[str, ActiveVersion]) -> Metric:
    family = GaugeMetricFamily(
        "recsvc_active_version_age_seconds",
        "Time since the active version of each model was activated.",
        labels=("model",),
    )
    now = datetime.now(UTC)
    for name, version in active.items():
        if version.activated_at is not None:
            family.add_metric((name,), max(0.0, (now - version.activated_at).total_seconds()))
    return family


def _metrics(active: Mapping[str, ActiveVersion]) -> Metric:
    family = GaugeMetricFamily(
        "recsvc_version_metric",
        "Metrics of the active version of each model, on its validation users.",
        labels=("model", "metric"),
    )
    for name, version in active.items():
        for metric, value in version.metrics.items():
            family.add_metric((name, metric), value)
    return family


def _seconds(active: Mapping[str, ActiveVersion]) -> Metric:
    family = GaugeMetricFamily(
        "recsvc_last_refresh_seconds",
        "Time that the steps took of the refresh that made the active version, to its writing.",
    )
    hybrid = active.get("hybrid")
    if hybrid is not None and hybrid.seconds is not None:
        family.add_metric((), hybrid.seconds)
    return family
