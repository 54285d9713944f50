"""Whether the versions that a refresh made may be served."""

from collections.abc import Sequence
from typing import Any

from loaders import writeback
from recsvc.candidate import Basis, Candidate, snapshot_of
from recsvc.errors import GateError
from recsvc.evaluation import Estimate
from recsvc.gate import Validated, Verdict, coverage, difference, not_finite, objections
from recsvc.list_changes import note_lists
from recsvc.refresh_parts import HYBRID, Run
from recsvc.warm_start import change_by_fine_tuning


def judge(run: Run, candidate: Candidate) -> Verdict:
    """What speaks against the new versions; nothing where an earlier attempt activated them.

    Raises:
        GateError: they hold what cannot be stored.
        LeaseLostError: another refresh took over.
        Neo4jError: the graph cannot be read.
    """
    if candidate.versions[HYBRID].status == "active":
        return Verdict()
    signals, least = candidate.blend.signals, run.options.least_coverage
    change = _change(run, candidate.basis)
    with run.step("gate"):
        active = writeback.active_blend(run.gateway)
        run.record.note(compared_with=active, **_facts(candidate))
        if broken := not_finite(signals):
            run.record.note(objections=broken)
            raise refusal(broken, "it cannot be stored, --force or not")
        found = objections(signals, candidate.known, change, least_coverage=least)
        run.record.note(objections=found, change=change)
    basis, blend = candidate.basis, candidate.blend
    details = basis.extracted.details
    served = snapshot_of(basis.graph, details, basis.evidence, blend, candidate.numbers)
    note_lists(run, active, served, basis.graph, basis.extracted.at)
    return Verdict(change, found)


def refusal(found: Sequence[str], hint: str) -> GateError:
    """Why versions are not served, and what can be done."""
    said = "; ".join(found)
    return GateError(f"the new version is refused: {said}. What was active stays active; {hint}")


def _facts(candidate: Candidate) -> dict[str, Any]:
    """What the run's manifest tells of versions that may be refused."""
    learned = candidate.basis.learned
    return {
        "new_versions": candidate.numbers, "metrics": learned.metrics,
        "weights": learned.weights, "counts": candidate.counts, "cut": candidate.cut,
        "coverage": coverage(candidate.blend.signals, candidate.known),
    }  # fmt: skip


def _change(run: Run, basis: Basis) -> Estimate | None:
    if basis.start.state is not None:
        return change_by_fine_tuning(run, basis)
    active = writeback.active_validation(run.gateway)
    # With another share held out, another number of items is looked for.
    if active is None or active.options["held_out_share"] != run.options.held_out_share:
        return None
    return difference(basis.learned.validated, Validated(active.users, active.ndcg))
