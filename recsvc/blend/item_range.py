"""Items in a row, and the passes over their scores: what one shard holds and does.

A shard holds the vectors and the prior of its items. What a user's evidence comes to is in the
question: for vectors a profile, for kernel rows the few items that they reach.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.blend.blend import LEAST_BOUNDED, LEAST_WEIGHT, Blend
from recsvc.blend.bounds import ItemBounds
from recsvc.blend.scored_user import ScoredUser
from recsvc.blend.shard_messages import Message
from recsvc.evidence import EvidenceRows
from recsvc.signals.base import Entries, Signal
from recsvc.signals.rows import RowSignal

_NO_IDS = IdMap([])
_MOST_USERS = 4
"""Users whose scores are kept: a list with counterfactuals asks for many passes over them."""


def signal_part(
    of: type[Signal],
    name: str,
    array: Callable[[str], NDArray[Any]],
    settings: Mapping[str, Any],
    begin: int,
    end: int,
) -> Signal | None:
    """The vectors that a signal has of some items in a row; None where it has rows.

    Args:
        of: its class.
        name: its name.
        array: gives its arrays, by their names.
        settings: see `Signal.from_arrays`.
        begin: row of the first item.
        end: row after the last one.
    """
    if any(held.columns is not None for held in of.layout.values()):
        return None
    own = {"items": slice(begin, end), "evidence": slice(0)}
    arrays = {each: array(each)[own[held.rows]] for each, held in of.layout.items()}
    return of.from_arrays(name, "item", _NO_IDS, arrays, settings)


class ItemRange:
    """The items of one shard.

    Attributes:
        begin: row of the first item.
        end: row after the last one.
    """

    def __init__(
        self,
        begin: int,
        prior: Float32[NDArray[np.float32], " items"],
        signals: Sequence[tuple[Signal, float]],
        items: int,
    ) -> None:
        """Take in what there is of these items.

        Args:
            begin: row of the first item.
            prior: of these items.
            signals: parts of those with vectors, and the weight of each.
            items: how many there are on all shards.
        """
        self.begin, self.end = begin, begin + len(prior)
        self._prior = prior
        self._signals = {signal.name: signal for signal, _ in signals}
        self._user = lru_cache(_MOST_USERS)(self._made_user)
        vectors = [
            signal.item_vectors
            for signal, weight in signals
            if weight > LEAST_WEIGHT and signal.item_vectors is not None
        ]
        # Whether there are bounds depends on all items, so that all shards order by the same.
        bounded = items * sum(table.shape[1] for table in vectors) >= LEAST_BOUNDED
        self._bounds = ItemBounds(vectors) if bounded and vectors and len(prior) else None

    @classmethod
    def of(cls, blend: Blend, begin: int, end: int) -> "ItemRange":
        """Some items of a blend."""
        parts: list[tuple[Signal, float]] = []
        for signal, weight in zip(blend.signals, blend.weights, strict=True):
            settings = signal.settings()
            part = signal_part(
                type(signal), signal.name, signal.arrays().__getitem__, settings, begin, end
            )
            if part is not None:
                parts.append((part, weight))
        return cls(begin, blend.prior[begin:end], parts, len(blend.prior))

    def answer(self, operation: str, question: Message) -> Message:
        """Make one pass over the scores of these items.

        Args:
            operation: `ranked`, `at`, `count_before`, `ends` or `most_without` of `ScoredUser`.
            question: who asks, and what.

        Raises:
            ValueError: it cannot be asked like that.
        """
        try:
            return self._operations[operation](self._user(_Asker(question)), question)
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(
                f"{operation!r} cannot be asked like that ({type(error).__name__}: {error}): the "
                "service and its shards have to be of one version of recsvc"
            ) from error

    @property
    def _operations(self) -> Mapping[str, Callable[[ScoredUser, Message], Message]]:
        return {
            "ranked": self._ranked,
            "at": self._at,
            "count_before": self._count_before,
            "ends": self._ends,
            "most_without": self._most_without,
        }

    def _made_user(self, asker: "_Asker") -> ScoredUser:
        question = asker.question
        factors = question.arrays["factors"].tolist()
        spoken = tuple(
            (signal, factor, rows)
            for factor, (signal, rows) in zip(
                factors[1:], self._evidence(question, ""), strict=True
            )
        )
        return ScoredUser(self._prior, factors[0], np.zeros((2, 0)), spoken, self._bounds)

    def _evidence(self, question: Message, of: str) -> list[tuple[Signal, EvidenceRows]]:
        """Each signal of a question, and what its evidence comes to.

        Args:
            question: who asks.
            of: begins the names of the arrays.
        """
        pieces: list[tuple[Signal, EvidenceRows]] = []
        for number, name in enumerate(question.facts["signals"]):
            rows = EvidenceRows(np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1))
            profile = question.arrays.get(f"{of}profile{number}")
            if profile is not None:
                signal = self._signals[name]
                rows.made[signal] = profile
            else:
                signal = RowSignal(name, "item", _NO_IDS, sp.csr_matrix((1, len(self._prior))))
                item = question.arrays[f"{of}items{number}"].astype(np.int64)
                value = question.arrays[f"{of}sums{number}"]
                rows.made[signal] = Entries(item, value, np.array([len(item)]))
            pieces.append((signal, rows))
        return pieces

    def _some(self, question: Message) -> NDArray[np.bool_]:
        bits = np.unpackbits(question.arrays["items"], count=len(self._prior))
        return bits.astype(bool)

    def _ranked(self, user: ScoredUser, question: Message) -> Message:
        rows, scores = user.ranked(self._some(question), question.facts["count"])
        return Message(arrays={"rows": rows, "scores": scores})

    def _at(self, user: ScoredUser, question: Message) -> Message:
        return Message(arrays={"scores": user.at(question.arrays["rows"])})

    def _count_before(self, user: ScoredUser, question: Message) -> Message:
        after = None
        if "after" in question.arrays:
            after = np.zeros(len(self._prior))
            after[question.arrays["changed"]] = question.arrays["after"]
        score, row = float(question.arrays["score"][0]), question.facts["row"]
        return Message({"count": user.count_before(self._some(question), score, row, after)})

    def _ends(self, user: ScoredUser, question: Message) -> Message:
        return Message(arrays={"ends": user.ends(self._some(question))})

    def _most_without(self, user: ScoredUser, question: Message) -> Message:
        base, *factors = question.arrays["factors_then"].tolist()
        gone = [rows for _, rows in self._gone(user, question)]
        most = user.most_without(self._some(question), base, np.array(factors), gone)
        return Message(arrays={"most": np.array([most])})

    def _gone(self, user: ScoredUser, question: Message) -> list[tuple[Signal, EvidenceRows]]:
        """What is left out, by the signals of the user: what is made of it is kept by these."""
        pieces: list[tuple[Signal, EvidenceRows]] = []
        for (signal, _, _), (other, rows) in zip(
            user.spoken, self._evidence(question, "gone_"), strict=True
        ):
            rows.made[signal] = rows.made[other]
            pieces.append((signal, rows))
        return pieces


class _Asker:
    """Who asks a question, alike where the evidence comes to the same."""

    def __init__(self, question: Message) -> None:
        self.question = question
        names = question.facts["signals"]
        own = [f"{each}{n}" for n in range(len(names)) for each in ("profile", "items", "sums")]
        arrays = question.arrays
        told = [(name, arrays[name].tobytes()) for name in ["factors", *own] if name in arrays]
        self._told = (tuple(names), tuple(told))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asker) and self._told == other._told

    def __hash__(self) -> int:
        return hash(self._told)
