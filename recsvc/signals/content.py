"""Similarity of what items say of themselves, as a kernel: K(j, i) = share_i · <c_j, c_i>."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from recsvc.signals.base import StoredArray
from recsvc.signals.embedding import EmbeddingSignal


@dataclass(frozen=True, slots=True, eq=False)
class ContentSignal(EmbeddingSignal):
    """Inner products of vectors that an item has before anybody did anything with it.

    For an item that many people had, other signals say more; of one that nobody had, this one alone
    says anything. So the share of an item falls from 1 with the people who had it, see
    `share_of`. Shares are no part of the scale: whether few items are new or many, a user's scores
    have the same size.

    Attributes:
        share: how much the signal counts for each item, above 0 and at most 1; 0 of an item that
            says nothing.
    """

    share: Float32[NDArray[np.float32], " items"] | None = None

    form: ClassVar[str] = "content"
    layout: ClassVar[Mapping[str, StoredArray]] = {
        **EmbeddingSignal.layout,
        "share": StoredArray("share", "items"),
    }

    def __post_init__(self) -> None:
        """Make what is derived from the vectors; the scale is that of whole ones."""
        if self.share is None:
            object.__setattr__(self, "share", np.ones(len(self.target), np.float32))
        self._derive(_inverse(self._share))

    @property
    def _share(self) -> Float64[NDArray[np.float64], " items"]:
        assert self.share is not None
        return self.share.astype(np.float64)

    def shared(self, share: Float32[NDArray[np.float32], " items"]) -> "ContentSignal":
        """See `Signal.shared`."""
        change = (share * _inverse(self._share)).astype(np.float32)
        return replace(self, target=self.target * change[:, None], share=share)

    def unshared(
        self, raw: Float32[NDArray[np.float32], "... items"]
    ) -> Float32[NDArray[np.float32], "... items"]:
        """See `Signal.unshared`."""
        return raw * _inverse(self._share).astype(np.float32)

    def _whole(
        self, values: Float64[NDArray[np.float64], " items"]
    ) -> Float64[NDArray[np.float64], " items"]:
        """See `EmbeddingSignal`: values and targets are in shares, and `gram` is not."""
        return values * np.square(_inverse(self._share))

    @property
    def of_people(self) -> bool:
        """See `Signal.of_people`."""
        return False

    @property
    def by_two_steps(self) -> bool:
        """See `Signal.by_two_steps`: what an item says of itself does not change with people."""
        return False

    def collapsed(self, known: Bool[NDArray[np.bool_], " items"]) -> list[str]:
        """See `Signal.collapsed`: many items may say the same, or nothing."""
        return []


def share_of(
    people: Int64[NDArray[np.int64], " items"], least: float
) -> Float32[NDArray[np.float32], " items"]:
    """The share of an item that n people had: least + (1 - least) / (1 + n).

    Args:
        people: n of each item.
        least: share of an item that everybody has.
    """
    return (least + (1.0 - least) / (1.0 + people)).astype(np.float32)


def _inverse(
    share: Float64[NDArray[np.float64], " items"],
) -> Float64[NDArray[np.float64], " items"]:
    return np.divide(1.0, share, out=np.zeros_like(share), where=share > 0.0)
