"""What can be seen of the service from outside: request ids, the log, metrics, spans.

No log line, metric or span holds the id of a user or item: a request is named by the template of
its route and by its request id.
"""

import os
import re
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import EventDict, WrappedLogger

from loaders.tracing import TRACEPARENT, span, tracing
from recsvc.answer import Answer, VariantUsed
from recsvc.json_log import configure_json_log
from recsvc.outcomes.outcome import metric_kind
from recsvc.recommend.answers import request_id_var
from recsvc.service.allowed import administers, caller_of
from recsvc.service.problems import problem

if TYPE_CHECKING:
    from opentelemetry.trace import Span

REQUEST_ID_HEADER: Final = "X-Request-Id"

METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable in which prometheus_client looks for the folder that processes share."""

_SANE_ID = re.compile(r"[\x20-\x7e]{1,128}")
_ANSWERS = ("/v1/", "/health/", "/metrics")
"""What holds at the moment only, and is somebody's: no cache between may keep it."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_ROUTE = "none"
_MOST_OF_A_PATH = 500
_MOST_VARIANTS = 200
"""Variants that a process counts by name, those of all experiments that it ever knew together."""
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_log = structlog.get_logger()


def configure_logging() -> None:
    """Log as JSON lines on stderr, each with the id of the request it belongs to."""
    configure_json_log(_add_request_id)


def _add_request_id(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    if request_id := request_id_var.get():
        event.setdefault("request_id", request_id)
    return event


class Metrics:
    """The Prometheus metrics of one app, or of all processes of a service together.

    Args:
        served: metrics that are the same whichever process is asked.
    """

    def __init__(self, served: Collector) -> None:
        self._served = served
        self._shared = METRICS_FOLDER in os.environ
        if self._shared:
            _make_folder()
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "recsvc_http_requests",
            "Requests answered, by template of the route.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "recsvc_http_request_duration_seconds",
            "Time from the request to the end of its answer.",
            ("route", "method"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._degraded = Counter(
            "recsvc_degraded_answers",
            "Recommendations that had to leave something out, by what.",
            ("what",),
            registry=self.registry,
        )
        self._version = Gauge(
            "recsvc_active_version",
            "Version of each model behind the newest recommendation.",
            ("model",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self._kept = Counter(
            "recsvc_kept_answers",
            "Requests for recommendations that could be answered again (yes) or had to be (no).",
            ("kept",),
            registry=self.registry,
        )
        self._unread = Counter(
            "recsvc_unread_values",
            "Times that something in the graph could not be read and was left out, by kind.",
            ("kind",),
            registry=self.registry,
        )
        self._unknown = Counter(
            "recsvc_events_without_weight",
            "Events, stored or given as evidence, whose kind has no weight: they count nothing.",
            registry=self.registry,
        )
        self._outcomes = Counter(
            "recsvc_outcomes",
            "Outcomes of answers that were told, by kind; kinds of callers' own are `other`.",
            ("kind",),
            registry=self.registry,
        )
        self._variants = Counter(
            "recsvc_variant_answers",
            "Recommendations that were answered under an experiment, by its variant.",
            ("experiment", "variant"),
            registry=self.registry,
        )
        self._named_variants: set[tuple[str, str]] = set()
        self._versions: dict[str, int] = {}
        ProcessCollector(registry=self.registry)
        self.registry.register(served)

    def text(self) -> bytes:
        """All metrics in Prometheus' text form; of several processes without their memory."""
        if not self._shared:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        _make_folder()
        MultiProcessCollector(registry)
        registry.register(self._served)
        return generate_latest(registry)

    def observe_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that has been answered."""
        self._requests.labels(route, method, str(status)).inc()
        with suppress(OSError):  # its file is made at first use, and the folder may be gone
            self._seconds.labels(route, method).observe(seconds)

    def observe_kept(self, *, kept: bool) -> None:
        """Count a request for recommendations by whether an answer to it was at hand."""
        self._kept.labels("yes" if kept else "no").inc()

    def observe_unread(self, kind: str) -> None:
        """Count something in the graph that could not be read."""
        self._unread.labels(kind).inc()

    def observe_kinds(
        self, kinds: Sequence[str], unknown_kinds: Callable[[Sequence[str]], list[str]]
    ) -> list[str]:
        """Count the events of kinds that have no weight; returns those kinds."""
        unknown = unknown_kinds(kinds)
        self._unknown.inc(sum(kind in unknown for kind in kinds))
        return unknown

    def observe_outcomes(self, kinds: Sequence[str]) -> None:
        """Count outcomes."""
        for kind in kinds:
            self._outcomes.labels(metric_kind(kind)).inc()

    def observe_variant(self, used: VariantUsed | None) -> None:
        """Count an answer under an experiment: of very many variants the first by their names."""
        if used is None:
            return
        labels = (used.experiment, used.name)
        if len(self._named_variants) < _MOST_VARIANTS:
            self._named_variants.add(labels)
        named = labels in self._named_variants
        self._variants.labels(*(labels if named else ("other", "other"))).inc()

    def observe_answer(self, answer: Answer) -> None:
        """Count an answer by its variant and by what it left out, and note its versions."""
        self.observe_variant(answer.variant)
        for what in answer.degraded:
            self._degraded.labels(what).inc()
        if answer.versions != self._versions:
            if not self._shared:  # files keep what was written once
                self._version.clear()
            with suppress(OSError):
                for model, version in answer.versions.items():
                    self._version.labels(model).set(version)
            self._versions = dict(answer.versions)


def _make_folder() -> None:
    """Make the folder again where somebody has removed it: only what it counted is gone."""
    Path(os.environ[METRICS_FOLDER]).mkdir(parents=True, exist_ok=True)


class Observed:
    """Gives each request its id, counts and logs it, and answers what nothing else caught."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        token = request_id_var.set(request_id)
        reply = _Reply(send, request_id, kept_nowhere=scope["path"].startswith(_ANSWERS))
        started = time.perf_counter()
        with _request_span(scope) as made:
            try:
                await self._answer(scope, receive, reply)
            finally:
                self._record(scope, reply.status, time.perf_counter() - started)
                request_id_var.reset(token)
                if made is not None:
                    _describe(made, scope, reply.status)

    async def _answer(self, scope: Scope, receive: Receive, reply: "_Reply") -> None:
        try:
            await self._app(scope, receive, reply.send)
        # The outermost frame of a request: whatever comes up to here is a fault of ours, and has to
        # end in an answer and in the log.
        except Exception:
            _log.exception("the request failed", route=_route(scope))
            if reply.started:
                raise
            detail = "something went wrong here: the log has it under this request_id"
            await problem(scope, 500, detail)(scope, receive, reply.send)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route, method = _route(scope), _method(scope)
        self._metrics.observe_request(route, method, status, seconds)
        told = {"status": status, "request_id": request_id_var.get()}
        took = round(seconds * 1000, 3)
        _log.info("request", method=method, route=route, duration_ms=took, **told, **_who(scope))
        if administers(method, scope["path"]):
            path = quote(scope["path"], safe="/%")[:_MOST_OF_A_PATH]
            client = (scope.get("client") or ("",))[0]
            _log.info(
                "administration",
                method=method,
                path=path,
                client=client,
                **told,
                **_who(scope, all_of_them=True),
            )


class _Reply:
    """The way back to the caller: notes the status, adds the request id, and keeps caches out."""

    def __init__(self, send: Send, request_id: str, *, kept_nowhere: bool) -> None:
        self._send = send
        self._request_id = request_id
        self._kept_nowhere = kept_nowhere
        self.started = False
        self.status = 500

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID_HEADER] = self._request_id
            if self._kept_nowhere:
                headers.setdefault("Cache-Control", "no-store")
        await self._send(message)


def _who(scope: Scope, *, all_of_them: bool = False) -> dict[str, str]:
    """The name of a key or the subject of a token.

    Args:
        scope: of the request.
        all_of_them: also the subject of a token that may be bound to a user, whose id that may be.
    """
    caller = caller_of(scope)
    if caller is None or not (all_of_them or caller.acts_for_all):
        return {}
    return {"subject" if caller.by_token else "key": caller.name}


def _request_id(scope: Scope) -> str:
    """The caller's id where it is printable ASCII and short enough, else a new one."""
    wanted = REQUEST_ID_HEADER.lower().encode()
    given = next((value for name, value in scope["headers"] if name == wanted), b"")
    text = given.decode("latin-1").strip()
    return text if _SANE_ID.fullmatch(text) else uuid.uuid4().hex


def _request_span(scope: Scope) -> AbstractContextManager["Span | None"]:
    """The span of a request, below the one of its caller; none of what probes and browsers ask."""
    if not tracing() or not scope["path"].startswith("/v1/"):
        return nullcontext()
    wanted = TRACEPARENT.encode()
    caller = next((value for name, value in scope["headers"] if name == wanted), b"")
    return span("request", "SERVER", caller.decode("latin-1"))


def _describe(made: "Span", scope: Scope, status: int) -> None:
    """Say what was asked and what was answered, as the log does."""
    from opentelemetry.trace import Status, StatusCode

    route, method = _route(scope), _method(scope)
    made.update_name(f"{method} {route}")
    made.set_attributes(
        {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    )
    if status >= 500:
        made.set_status(Status(StatusCode.ERROR))


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"


def _route(scope: Scope) -> str:
    """The template of the route, never the path: that holds ids."""
    return getattr(scope.get("route"), "path", _NO_ROUTE)
