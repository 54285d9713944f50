# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""Batches of positive and negative examples, drawn on the device that trains."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

_POPULARITY_EXPONENT = 0.75  # of the counts, as in word2vec


class Positives(NamedTuple):
    """A batch of what users did.

    Attributes:
        user: rows of the users.
        item: rows of the items.
        weight: their evidence.
    """

    user: Int64[Tensor, " batch"]
    item: Int64[Tensor, " batch"]
    weight: Float32[Tensor, " batch"]


class Shared(NamedTuple):
    """Items that all examples of a batch are compared with.

    Attributes:
        item: rows of the items, ascending, each once.
        weight: how much each counts; mean 1.
    """

    item: Int64[Tensor, " n"]
    weight: Float32[Tensor, " n"]


class EvidenceSampler:
    """Draws from the stored entries of an evidence matrix."""

    def __init__(
        self, evidence: sp.csr_matrix, batch_size: int, device: torch.device, seed: int
    ) -> None:
        """Copy the matrix to the device."""
        evidence = evidence.sorted_indices()
        self.generator = torch.Generator(device).manual_seed(seed)
        self._batch_size = batch_size
        self._items = evidence.shape[1]
        users = np.repeat(np.arange(evidence.shape[0]), np.diff(evidence.indptr))
        self._user = torch.from_numpy(users).to(device)
        self._item = torch.from_numpy(evidence.indices.astype(np.int64)).to(device)
        self._weight = torch.from_numpy(evidence.data.astype(np.float32)).to(device)
        self._begin = torch.from_numpy(evidence.indptr.astype(np.int64)).to(device)
        self._key = self._user * self._items + self._item
        owners = torch.bincount(self._item, minlength=self._items).double()
        self._owner_share = owners / owners.sum()
        self._share = owners**_POPULARITY_EXPONENT / (owners**_POPULARITY_EXPONENT).sum()
        self._running_share = self._share.cumsum(0)
        self._equal_share = torch.full_like(self._share, 1.0 / self._items)
        self._place = torch.full((self._items,), -1, device=device)

    def steps(self, most: int, batches_each: int) -> Iterator[list[Positives]]:
        """The batches of each step of an epoch: every stored entry once, in random order.

        Args:
            most: steps. Batches are spread evenly over them.
            batches_each: most batches of a step; entries that find no place are left out.
        """
        order = torch.randperm(len(self._item), generator=self.generator, device=self._item.device)
        batches = order.split(self._batch_size)[: most * batches_each]
        ends = np.linspace(0, len(batches), min(most, len(batches)) + 1).astype(int).tolist()
        for begin, end in pairwise(ends):
            yield [
                Positives(self._user[part], self._item[part], self._weight[part])
                for part in batches[begin:end]
            ]

    def draw(self, strategy: str, positives: Positives, count: int) -> Int64[Tensor, "b n"]:
        """Different draws for each example.

        Args:
            strategy: `uniform`, all items alike; `popularity`, in proportion to the number of
                owners to the power 3/4; `in_batch`, the positives of other examples.
            positives: the batch.
            count: n, draws for each example.
        """
        size, device = (len(positives.user), count), self._item.device
        if strategy == "uniform":
            return torch.randint(self._items, size, generator=self.generator, device=device)
        if strategy == "popularity":
            return self._by_share(size)
        away = torch.randint(len(positives.user), size, generator=self.generator, device=device)
        return positives.item[away]

    def shared(self, strategy: str, positives: Positives, count: int, correction: float) -> Shared:
        """The same items for the whole batch.

        A popular item is drawn more often than others, which the sum over the sample can make up
        for: each draw counts as one over its expected number, to the power of `correction`. With
        1 the sum estimates the sum over all items (Yi et al. 2019, "Sampling-bias-corrected
        neural modeling for large corpus item recommendations"); with 0 popular items are
        negatives more often.

        Args:
            strategy: as in `draw`; `in_batch` takes the positives of the batch.
            positives: the batch.
            count: draws, but for `in_batch`.
            correction: from 0 to 1.
        """
        if strategy == "in_batch":
            drawn, share = positives.item, self._owner_share
        elif strategy == "popularity":
            drawn, share = self._by_share((count,)), self._share
        else:
            drawn = torch.randint(
                self._items, (count,), generator=self.generator, device=self._item.device
            )
            share = self._equal_share
        item, times = torch.unique(drawn, return_counts=True)
        weight = times * (share[item] * len(drawn)) ** -correction
        return Shared(item, (weight / weight.mean()).float())

    def owned_shared(
        self, user: Int64[Tensor, " batch"], item: Int64[Tensor, " n"]
    ) -> tuple[Int64[Tensor, " pairs"], Int64[Tensor, " pairs"]]:
        """Where a user did something with a shared item, so that it is no negative for them.

        Returns:
            Positions in `user`, ascending, and positions in `item`.
        """
        begin = self._begin[user]
        length = self._begin[user + 1] - begin
        row = torch.repeat_interleave(length)
        shift = torch.repeat_interleave(begin - (torch.cumsum(length, 0) - length), length)
        own = self._item.index_select(0, torch.arange(len(row), device=row.device) + shift)
        self._place[item] = torch.arange(len(item), device=item.device)
        column = self._place.index_select(0, own)
        self._place[item] = -1
        owned = torch.nonzero(column >= 0)[:, 0]
        return row.index_select(0, owned), column.index_select(0, owned)

    def owned(
        self, user: Int64[Tensor, " batch"], item: Int64[Tensor, "batch n"]
    ) -> Bool[Tensor, "batch n"]:
        """Whether each user did something with each of their own items."""
        key = user[:, None] * self._items + item
        place = torch.searchsorted(self._key, key).clamp_(max=len(self._key) - 1)
        return self._key[place] == key

    def _by_share(self, size: tuple[int, ...]) -> Tensor:
        drawn = torch.rand(
            size, generator=self.generator, device=self._item.device, dtype=torch.float64
        )
        return torch.searchsorted(self._running_share, drawn).clamp_(max=self._items - 1)
