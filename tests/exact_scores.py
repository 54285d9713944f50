"""Scores taken apart, from what each piece of evidence adds."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from recsvc.blend.blend import Term
from recsvc.explain.contributions import ExactScores


def exact_scores(
    items: NDArray[np.int64], terms: Iterable[Term], base: NDArray[np.float64]
) -> ExactScores:
    """The parts are the sums of the terms."""
    terms = tuple(terms)
    parts = tuple((term.signal, term.values.sum(axis=0)) for term in terms)
    return ExactScores(items, parts, base, terms=terms)
