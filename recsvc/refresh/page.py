"""The page of one refresh: what came of it, what it took, and what changes for some users.

It is made when it is asked for, from what is kept of the run: who was deleted is not in that.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from recsvc.blend.blend import LEAST_APART, LEAST_WEIGHT
from recsvc.blend.reliance import Reliance
from recsvc.errors import NotFoundError
from recsvc.evaluation.groups import UserGroup
from recsvc.evaluation.metrics import Estimate
from recsvc.event_kinds import shown_kind
from recsvc.refresh.list_section import list_section
from recsvc.refresh.log_section import log_section
from recsvc.refresh.run_journal import read_manifest
from recsvc.refresh.run_manifest import Metrics, RunAttempt, RunIdentity, RunManifest
from recsvc.refresh.sampled_lists import SampledLists, read_lists
from recsvc.refresh.step_section import step_section
from recsvc.report._parts import Cell, Intervals, Plot, Section, Table, one_line, readable
from recsvc.report.page import page_text

_BLEND = "hybrid"
_SHOWN = {"ndcg@20": "NDCG@20", "recall@20": "Recall@20"}


def refresh_page(home: Path, name: str) -> str:
    """The page of a run, as HTML; see `sections_of`."""
    return page_text(f"Refresh {name}", sections_of(home, name))


def sections_of(home: Path, name: str) -> list[Section]:
    """What the page of a run says.

    Args:
        home: `RECSVC_HOME`.
        name: of the run.

    Raises:
        NotFoundError: there is no such run, or it has not ended.
    """
    manifest = read_manifest(home, name)
    if manifest is None or manifest.state == "unfinished":
        raise NotFoundError(f"no page of a refresh {name!r}: there is one when a run has ended")
    return refresh_sections(manifest, read_lists(home / "refreshes" / name))


def refresh_sections(manifest: RunManifest, lists: SampledLists | None) -> list[Section]:
    """What the page says of a manifest, and of what changed for a sample of users, if known."""
    return [
        _outcome(manifest),
        _metrics(manifest),
        _by_items_known(manifest.by_items_known or ()),
        log_section(manifest),
        _weights(manifest),
        step_section(manifest.steps),
        _attempts(manifest.attempts),
        _asked(manifest.identity, manifest.model_options or {}),
        list_section(manifest, lists),
    ]


def _outcome(manifest: RunManifest) -> Section:
    """How the run ended, what the gate said, and how much there was."""
    sentences = [_ending(manifest)]
    if start := manifest.start:
        sentences.append(f"It began {start}." if start.startswith("from") else f"It was {start}.")
    if manifest.state == "activated" and manifest.overridden:
        sentences.append("It was activated by force. What spoke against it:")
    elif manifest.objections:
        sentences.append("What the gate objected to:")
    sentences += [f"{objection}." for objection in manifest.objections or ()]
    if manifest.warnings:
        sentences.append(
            "What speaks against it and keeps nothing from becoming active, as what was active is "
            "no better, nothing was active, or the setting refuse_by_log is off:"
        )
        sentences += [f"{warning}." for warning in manifest.warnings]
    if unknown := manifest.unknown_kinds:
        names = ", ".join(map(shown_kind, unknown))
        sentences.append(f"Kinds of events without a weight, which count nothing: {names}.")
    sentences.append(_change(manifest))
    tables = [_run_table(manifest)]
    if covered := manifest.coverage:
        rows = [(name, round(100.0 * share, 2)) for name, share in covered.items()]
        title = "Share of the items that somebody did something with that get a score"
        tables.append(Table(title, ("", "%"), rows))
    if counts := manifest.counts:
        tables.append(Table("Counts", ("", "number"), [(_words(n), c) for n, c in counts.items()]))
    if cut := manifest.cut:
        rows = [(name, round(100.0 * share, 2)) for name, share in cut.items()]
        tables.append(Table("Share of the weight of rows that was cut off", ("", "%"), rows))
    return Section("What came of it", tuple(sentences), tuple(tables), side_by_side=True)


def _ending(manifest: RunManifest) -> str:
    if manifest.state == "activated":
        return f"{_named(manifest.versions or {})} became active."
    unchanged = "What was active stayed active."
    if manifest.objections and (manifest.error or "").startswith("GateError"):
        return f"The gate refused the new version. {unchanged}"
    why = one_line(manifest.error or "nothing is known of why").rstrip(".")
    return f"It failed: {why}. What was active by then stayed active."


def _change(manifest: RunManifest) -> str:
    change, before = manifest.change, manifest.compared_with
    noted = manifest.model_fields_set
    if "compared_with" not in noted or (before and "change" not in noted):
        return "It ended before it could be compared with the version that was active."
    if not before:
        return "No version of the blend was active to compare it with."
    how = manifest.compared or "for the validation users of both"
    if not change:
        return f"Its NDCG@20 was not compared with that of hybrid {before.version}: {how}."
    word = "above" if change.mean >= 0.0 else "below"
    return (
        f"NDCG@20 of the blend is {abs(change.mean):.4f} {word} that of hybrid "
        f"{before.version}, {how}; the 95% interval of the "
        f"difference is {change.low:+.4f} to {change.high:+.4f} (paired bootstrap)."
    )


def _run_table(manifest: RunManifest) -> Table:
    steps, before = manifest.steps, manifest.compared_with
    sha256 = manifest.sha256
    memory = [step.memory_bytes for step in steps if step.memory_bytes is not None]
    seconds = sum(step.seconds or 0.0 for step in steps)
    facts = {
        "state": manifest.state,
        "begun": _moment(manifest.begun_at),
        "ended": _moment(manifest.finished_at),
        "time of all steps": f"{seconds:,.1f} seconds",
        **({"told before the fits": manifest.expected} if manifest.expected else {}),
        "most memory": f"{max(memory) / 2**20:,.0f} MiB" if memory else "not known",
        "versions it made": _named(manifest.new_versions) or "none",
        "active before": f"hybrid {before.version}" if before else "none",
        "arrays served": f"SHA-256 {sha256[:16]}…" if sha256 else "none",
    }
    return Table("The run", ("", "value"), list(facts.items()))


def _metrics(manifest: RunManifest) -> Section:
    """Each signal and the blend, beside those of the version that was active."""
    heading, metrics = "Metrics on the validation users", manifest.metrics
    if not metrics:
        return Section(heading, ("The run ended before there were any.",))
    before = manifest.compared_with.metrics if manifest.compared_with else {}
    names = [*(name for name in metrics if name != _BLEND), _BLEND]
    tables = tuple(_metric_table(metric, names, metrics, before) for metric in _SHOWN)
    sentences = (
        "Of each signal alone, and of the blend, which is what is served; the weights were learned "
        "on the same users. Intervals are 95%, by bootstrap over the users. Where the two versions "
        "have other validation users, only the paired difference above is a fair comparison.",
    )
    return Section(heading, sentences, tables, (_metric_plot(names, metrics, before),))


def _metric_table(metric: str, names: Sequence[str], now: Metrics, before: Metrics) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        new, old = _estimated(now, name, metric), _estimated(before, name, metric)
        rows.append((_signal(name), new[0], old[0], *new[1:], *old[1:]))
    columns = ("signal", "new", "before", "new: low", "high", "before: low", "high")
    return Table(_SHOWN[metric], columns, rows)


def _estimated(metrics: Metrics, name: str, metric: str) -> tuple[Cell, ...]:
    estimate = metrics.get(name, {}).get(metric)
    return _ends(estimate) if estimate else (None,) * 3


def _metric_plot(names: Sequence[str], now: Metrics, before: Metrics) -> Plot:
    def intervals(metrics: Metrics) -> list[tuple[float, float, float] | None]:
        estimates = [metrics.get(name, {}).get("ndcg@20") for name in names]
        return [(e.mean, e.low, e.high) if e else None for e in estimates]

    series = [("new version", intervals(now))]
    if before:
        series.append(("active before", intervals(before)))
    best = now[_BLEND]["ndcg@20"].mean
    return Intervals(
        "NDCG@20 by signal, with 95% intervals",
        f"The blend reaches {best:.4g}. The numbers are in the table NDCG@20.",
        "NDCG@20, 0 to 1",
        [_signal(name) for name in names],
        series,
    )


def _by_items_known(groups: Sequence[UserGroup]) -> Section:
    """The blend beside the popular list, for users of whom much and little is known."""
    heading = "By how many items are known of a user"
    if not groups:
        return Section(heading, ("The run ended before that was measured.",))
    sentences = (
        "NDCG@20 on the validation users by how many items are left of each, beside the popular "
        "list for the same users. Where the whole interval of the difference is below 0, the "
        "popular list serves that group better. The best signal is the one that alone does best "
        "in the group. Intervals are 95%, by bootstrap over the users.",
    )
    metric = "ndcg@20"
    rows: list[tuple[Cell, ...]] = [
        (
            group.group, group.users, *_ends(group.model[metric]),
            round(group.popularity[metric].mean, 4), *_ends(group.difference[metric]),
            group.best_part, round(group.part[metric].mean, 4) if group.best_part else None,
        )
        for group in groups
    ]  # fmt: skip
    columns = (
        "items known", "users", "the blend", "low", "high", "popular list", "difference", "low",
        "high", "best signal", "its NDCG@20",
    )  # fmt: skip
    return Section(heading, sentences, (Table("NDCG@20 by items known", columns, rows),))


def _ends(estimate: Estimate) -> tuple[Cell, ...]:
    """Mean, and the ends of its interval."""
    return tuple(round(value, 4) for value in astuple(estimate))


def _weights(manifest: RunManifest) -> Section:
    heading, weights = "Weights of the signals", manifest.weights
    if not weights:
        return Section(heading, ("The run ended before they were learned.",))
    before = manifest.compared_with.weights if manifest.compared_with else {}
    rows: list[tuple[Cell, ...]] = []
    for name in [*weights, *(name for name in before if name not in weights)]:
        new, old = weights.get(name), before.get(name)
        change = None if new is None or old is None else new - old
        rows.append((name, *map(_rounded, (new, old, change))))
    return Section(
        heading,
        (
            f"A weight of {LEAST_WEIGHT} is the least, {LEAST_APART} of a signal that does not "
            "start from items: it speaks where no other does.",
            *_unlearned(manifest),
            *_for_new(manifest),
            *_relied(manifest.reliance),
        ),
        (Table("λ by signal", ("signal", "new", "active before", "difference"), rows),),
    )


def _unlearned(manifest: RunManifest) -> tuple[str, ...]:
    why = manifest.unlearned
    return (f"These are the usual weights. They could not be learned: {why}.",) if why else ()


def _for_new(manifest: RunManifest) -> tuple[str, ...]:
    said = "What items say of themselves has the weight"
    return (f"{said} {manifest.for_new:.3f} for one that nobody had.",) if manifest.for_new else ()


def _relied(reliance: Reliance | None) -> tuple[str, ...]:
    """What the weights count for with little known of a user."""
    if reliance is None:
        return ()
    said = (
        "Of a user of whom m items and n followed people are known, the weight of popularity, and "
        f"of what starts from categories, counts (20/m)^{reliance.prior:g} times, and that of "
        f"what starts from followed people (20/m)^{reliance.follows:g} · "
        f"n^{reliance.people:g} times."
    )
    if not reliance.items:
        return (said,)
    named = ", ".join(f"{name} (20/m)^{exponent:g}" for name, exponent in reliance.items.items())
    return (said, f"With fewer than 20 items, of what starts from items, {named} times.")


def _attempts(attempts: Sequence[RunAttempt]) -> Section:
    """Who worked on the run."""
    rows = [
        (
            at, _moment(attempt.at), readable(attempt.holder), attempt.fence,
            readable(attempt.taken_from or "nobody"), "yes" if attempt.forced else "no",
        )
        for at, attempt in enumerate(attempts, start=1)
    ]  # fmt: skip
    columns = ("attempt", "begun", "holder of the lease", "fence", "taken from", "by force")
    return Section("Attempts", tables=(Table("Attempts", columns, rows[-20:]),))


def _asked(identity: RunIdentity, model_options: Mapping[str, Mapping[str, Any]]) -> Section:
    """Options, events and packages: what must be the same for a run to be resumed."""
    options = [(_words(name), _text(value)) for name, value in identity.options.items()]
    tables = [Table("Options", ("option", "value"), options)]
    of_models = [
        (name, _words(option), _text(value))
        for name, own in model_options.items()
        for option, value in own.items()
    ]
    if of_models:
        columns = ("model", "option", "value")
        tables.append(Table("Options of the models, as they were fitted", columns, of_models))
    if events := identity.events:
        names = list(dict.fromkeys(name for event in events.values() for name in event))
        rows = [
            (readable(event), *(_text(told.get(name)) for name in names))
            for event, told in events.items()
        ]
        tables.append(Table("Kinds of events", ("event", *map(_words, names)), rows[:20]))
    if packages := identity.packages:
        tables.append(Table("Packages", ("package", "version"), list(packages.items())))
    return Section("What was asked", tables=tuple(tables))


def _moment(iso: str | None) -> str:
    """A time of the manifest, which is in UTC, to the second."""
    return f"{iso[:10]} {iso[11:19]} UTC" if iso else "not yet"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _named(versions: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _signal(name: str) -> str:
    return "the blend" if name == _BLEND else name


def _words(name: str) -> str:
    return name.replace("_", " ")


def _text(value: object) -> str:
    if isinstance(value, list):
        return readable(", ".join(map(str, value)))
    return "none" if value is None else readable(str(value))


if __name__ == "__main__":  # see `recsvc.refresh.process.page_command`
    sys.stdout.buffer.write(refresh_page(Path(sys.argv[1]), sys.argv[2]).encode())
