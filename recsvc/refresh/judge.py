"""Whether the versions that a refresh made may be served."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from loaders import writeback
from loaders.errors import LeaseLostError
from recsvc.blend.parts import Validated
from recsvc.errors import GateError
from recsvc.refresh.candidate import Basis, Candidate, snapshot_of
from recsvc.refresh.comparison import change_by_seeing, change_since, stored_arrays
from recsvc.refresh.fine_tuning import change_by_fine_tuning
from recsvc.refresh.gate import (
    Comparison,
    below_popularity,
    coverage,
    difference,
    not_finite,
    objections,
)
from recsvc.refresh.list_diff import note_lists, reason_of
from recsvc.refresh.log_comparison import LogComparison, exploring_scenarios
from recsvc.refresh.options import HYBRID
from recsvc.refresh.parts import Run
from recsvc.snapshot.arrays import Snapshot


def judge(run: Run, candidate: Candidate) -> Sequence[str]:
    """What speaks against the new versions; nothing where an earlier attempt activated them.

    Raises:
        GateError: they hold what cannot be stored.
        LeaseLostError: another refresh took over.
        Neo4jError: the graph cannot be read.
    """
    if candidate.versions[HYBRID].status == "active":
        return ()
    signals, least = candidate.blend.signals, run.options.least_coverage
    comparison = _compared(run, candidate.basis)
    active, served = writeback.active_blend(run.gateway), _served(run, candidate)
    by_log = _by_log(run, candidate, served, active)
    with run.step("gate"):
        run.record.note(compared_with=active and asdict(active), **_facts(candidate))
        if broken := not_finite(signals):
            run.record.note(objections=broken)
            raise refusal(broken, "it cannot be stored, --force or not")
        change = comparison.change
        reasons = objections(signals, candidate.known, change, least_coverage=least)
        reasons = reasons or _worse_for_seeing(run, candidate)
        below, warnings = _below_popularity(candidate.basis, active)
        worse = [said for comparison in by_log if (said := comparison.worse) is not None]
        reasons = (*reasons, *below, *(worse if run.options.refuse_by_log else ()))
        warnings = [*warnings, *(() if run.options.refuse_by_log else worse)]
        if candidate.basis.learned.unlearned:
            # Of so little, vectors may all be alike: there is nothing better to be had.
            reasons, warnings = (), [*reasons, *warnings]
        run.record.note(
            objections=reasons, warnings=warnings, change=change, compared=comparison.how
        )
        if candidate.basis.learned.unlearned:
            told = "the weights of the blend are the usual ones, as they cannot be learned"
            run.record.tell(told, level="warning", reason=candidate.basis.learned.unlearned)
        if warnings:
            told = "something speaks against the new versions"
            run.record.tell(told, level="warning", warnings=warnings)
    basis = candidate.basis
    note_lists(run, active, served, basis.graph, basis.extracted.at, basis.start.before)
    return reasons


def _served(run: Run, candidate: Candidate) -> Snapshot:
    """What answers are to be made from."""
    basis = candidate.basis
    return snapshot_of(
        basis.graph, basis.extracted.details, basis.evidence, candidate.blend, candidate.numbers,
        run.kinds(basis.graph),
    )  # fmt: skip


def _by_log(
    run: Run, candidate: Candidate, served: Snapshot, active: writeback.ActiveBlend | None
) -> list[LogComparison]:
    """What the new version and the active one would have earned; nothing where that is not known.

    What cannot be read is noted and no more: a version is as good without.
    """
    if run.log is None or active is None:
        return []
    try:
        scenarios = exploring_scenarios(run.gateway)
        if not scenarios:
            return []
        with run.step("compare on the log"):
            before = _arrays_of(run, candidate, active)
            comparisons = run.log.compared(served, before, scenarios) if before is not None else []
    except LeaseLostError:
        raise
    except Exception as error:  # whatever it is, the versions are as good without it
        run.record.note(by_log_error=reason_of(error))
        return []
    run.record.note(by_log=comparisons)
    return comparisons


def _arrays_of(run: Run, candidate: Candidate, active: writeback.ActiveBlend) -> Snapshot | None:
    before = candidate.basis.start.before
    if before is not None and before.versions[HYBRID] == active.version:
        return before
    return stored_arrays(run, active.version, active.sha256)


def refusal(objections: Sequence[str], hint: str) -> GateError:
    """Why versions are not served, and what can be done."""
    said = "; ".join(objections)
    return GateError(f"the new version is refused: {said}. What was active stays active; {hint}")


def _facts(candidate: Candidate) -> dict[str, Any]:
    """What the run's manifest tells of versions that may be refused."""
    learned = candidate.basis.learned
    return {
        "new_versions": candidate.numbers, "metrics": learned.metrics,
        "by_items_known": learned.by_items_known,
        "weights": learned.weights, "reliance": learned.reliance, "for_new": learned.for_new,
        "unlearned": learned.unlearned or None,
        "counts": candidate.counts, "cut": candidate.cut,
        "coverage": coverage(candidate.blend.signals, candidate.known),
    }  # fmt: skip


def _worse_for_seeing(run: Run, candidate: Candidate) -> tuple[str, ...]:
    """Whether what is to be served finds what it has seen worse than what had not seen it."""
    basis = candidate.basis
    if basis.start.state is not None or basis.learned.unlearned:  # nothing was validated
        return ()
    arguments = (run, basis.graph, basis.evidence, basis.learned, candidate.blend)
    change = change_by_seeing(*arguments)
    if change.high >= 0.0:
        return ()
    return (
        "what is to be served finds the held-out items worse than the fits that had not seen "
        f"them, NDCG@20 by {-change.mean:.4f} "
        f"(95% interval of the difference {change.low:.4f} to {change.high:.4f})",
    )


def _below_popularity(
    basis: Basis, active: writeback.ActiveBlend | None
) -> tuple[list[str], list[str]]:
    """Where the popular list is better: what the gate objects to, and what it warns of.

    A group for which the active version is below the popular list too gains nothing if that
    stays, and neither does anybody where no version is active.
    """
    if basis.start.state is not None:  # nothing was validated
        return [], []
    below = below_popularity(basis.learned.by_items_known)
    alike = below.keys() if active is None else active.below_popularity
    objected = [said for group, said in below.items() if group not in alike]
    return objected, [said for group, said in below.items() if group in alike]


def _compared(run: Run, basis: Basis) -> Comparison:
    """The new version beside the active one, on what neither has seen, if there is enough of it.

    Else, where the graph is nearly the same, on what was held out from both.
    """
    active = writeback.active_validation(run.gateway)
    if active is None:
        return Comparison(None, "no version is active")
    if basis.start.state is not None:
        return change_by_fine_tuning(run, basis)
    if basis.learned.unlearned:
        return Comparison(None, f"nothing was validated: {basis.learned.unlearned}")
    since = change_since(run, basis.graph, basis.evidence, basis.options, basis.learned, active)
    if since.change is not None:
        return since
    then = Validated(active.users, active.ndcg, active.asked)
    same = difference(basis.learned.validated, then)
    return same if same.change is not None else Comparison(None, f"{since.how}; {same.how}")
