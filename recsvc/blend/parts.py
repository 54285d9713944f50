"""What a blend is put together from, and what its validation part decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.blend.reliance import ALIKE, Reliance
from recsvc.evaluation.groups import UserGroup
from recsvc.evaluation.metrics import Estimate
from recsvc.signals import ContentSignal, EmbeddingSignal, InductiveSignal, RowSignal, Signal

Tables = tuple[Float32[NDArray[np.float32], "..."], ...]
"""What a fit can go on from."""


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """The vectors of a fitted model: see `recsvc.models.EmbeddingModel`.

    Attributes:
        user: one for each user.
        item: what an item is as a candidate.
        source: what it is as evidence.
        of_content: whether they are of what nodes say of themselves.
    """

    user: Float32[NDArray[np.float32], "users dim"]
    item: Float32[NDArray[np.float32], "items dim"]
    source: Float32[NDArray[np.float32], "items dim"]
    sent: tuple[Float32[NDArray[np.float32], "items dim"], ...] = ()
    """What each item sends to the source and to the target vector of a new one, where it does."""
    of_content: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted model in a form that can be stored: vectors, or rows cut to their largest entries.

    Attributes:
        kernel: vectors, or K(j, i) as rows [items, items].
        epochs: that it has seen; 0 for one without epochs.
        cut: share of the weight of the rows that was cut off.
        tables: what a later fit can go on from.
        half_life: of evidence in it, see `Signal.half_life`; of rows alone.
    """

    kernel: Vectors | sp.csr_matrix
    epochs: int
    cut: float = 0.0
    tables: Tables = ()
    half_life: float | None = None

    def signal(self, name: str, items: IdMap) -> Signal:
        """The model as a signal of that name."""
        if isinstance(self.kernel, Vectors):
            vectors = items, self.kernel.source, self.kernel.item
            if not self.kernel.sent:
                made = ContentSignal if self.kernel.of_content else EmbeddingSignal
                return made(name, *vectors)
            source, target = self.kernel.sent
            return InductiveSignal(name, *vectors, sent_source=source, sent_target=target)
        return RowSignal(name, "item", items, self.kernel, half_life=self.half_life)


@dataclass(frozen=True, slots=True, eq=False)
class Validated:
    """How good a blend was for each validation user.

    Attributes:
        user: a number for each user (`recsvc.evaluation.splits.id_numbers`); no two are the same.
        ndcg: NDCG@20 on what was held out from them.
        asked: a number for the set of items that was held out
            (`recsvc.evaluation.splits.row_numbers`).
    """

    user: Int64[NDArray[np.int64], " users"]
    ndcg: Float64[NDArray[np.float64], " users"]
    asked: Int64[NDArray[np.int64], " users"]


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What the validation part decided.

    Attributes:
        weights: λ by signal.
        epochs: best number by model; 0 for one without epochs.
        metrics: Recall@20 and NDCG@20 by signal, and of the blend as `hybrid`.
        validated: how good the blend was for each validation user.
        by_items_known: how good it was by how many items were known of a validation user.
        tables: `Fitted.tables` by model, where so little was held out that the fit on everything
            can go on from them.
        share: of a fit's training, how much there is when it goes on from them.
        reliance: what the parts count for with little known of a user.
        for_new: λ of what items say of themselves, for an item that nobody had; 0 where it is the
            same as for others.
        unlearned: why λ and the exponents are the usual ones; "" where they were learned.
    """

    weights: Mapping[str, float]
    epochs: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, Estimate]]
    validated: Validated
    by_items_known: tuple[UserGroup, ...] = ()
    tables: Mapping[str, Tables] = field(default_factory=dict[str, Tables])
    share: float = 1.0
    reliance: Reliance = ALIKE
    for_new: float = 0.0
    unlearned: str = ""
