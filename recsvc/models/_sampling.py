# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""Batches of positive and negative examples, drawn on the device that trains."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor


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


class Negatives(NamedTuple):
    """Items that all examples of a batch are compared with.

    Attributes:
        item: rows of the items, ascending, each once.
        log_weight: logarithm of how much each counts; the weights have mean 1.
    """

    item: Int64[Tensor, " negatives"]
    log_weight: Float32[Tensor, " negatives"]


class EvidenceSampler:
    """Draws from the stored entries of an evidence matrix."""

    def __init__(
        self, evidence: sp.csr_matrix, batch_size: int, device: torch.device, seed: int
    ) -> None:
        """Copy the matrix to the device."""
        self.generator = torch.Generator(device).manual_seed(seed)
        self._batch_size = batch_size
        self._items = evidence.shape[1]
        users = np.repeat(np.arange(evidence.shape[0]), np.diff(evidence.indptr))
        self._user = torch.from_numpy(users).to(device)
        self._item = torch.from_numpy(evidence.indices.astype(np.int64)).to(device)
        self._weight = torch.from_numpy(evidence.data.astype(np.float32)).to(device)
        self._begin = torch.from_numpy(evidence.indptr.astype(np.int64)).to(device)
        owners = torch.bincount(self._item, minlength=self._items).double()
        # An item of share p is in a batch of B examples with probability 1 - (1 - p)^B.
        missing = batch_size * torch.log1p(-owners / owners.sum())
        self._log_inclusion = torch.log(-torch.expm1(missing))

    def positives(self) -> Iterator[Positives]:
        """Every stored entry once, in random order."""
        order = torch.randperm(len(self._item), generator=self.generator, device=self._item.device)
        for part in order.split(self._batch_size):
            yield Positives(self._user[part], self._item[part], self._weight[part])

    def uniform(self, count: int) -> Negatives:
        """Different items, from `count` draws in which all items are equally likely."""
        drawn = torch.randint(
            self._items, (count,), generator=self.generator, device=self._item.device
        )
        item = torch.unique(drawn)
        return Negatives(item, torch.zeros(len(item), device=item.device))

    def in_batch(self, positives: Positives) -> Negatives:
        """The items of the batch itself, each counting as one over its chance of being there.

        Popular items are in more batches. Weighting by the inverse of the inclusion probability
        (Horvitz & Thompson 1952; for softmax Yi et al. 2019, "Sampling-bias-corrected neural
        modeling for large corpus item recommendations", which uses p in its place) makes the
        sum over the sample an estimate of the sum over all items.
        """
        item = torch.unique(positives.item)
        log_inverse = -self._log_inclusion[item]
        mean = torch.logsumexp(log_inverse, 0) - np.log(len(item))
        return Negatives(item, (log_inverse - mean).float())

    def owned(
        self, user: Int64[Tensor, " batch"], item: Int64[Tensor, " negatives"]
    ) -> Bool[Tensor, "batch negatives"]:
        """Where a user did something with an item, so that it is no negative for them.

        Args:
            user: rows of the users.
            item: rows of the items, ascending, each once.
        """
        begin = self._begin[user]
        length = self._begin[user + 1] - begin
        row = torch.repeat_interleave(length)
        first = torch.cumsum(length, 0) - length
        own = self._item[torch.arange(len(row), device=row.device) + (begin - first)[row]]
        column = torch.searchsorted(item, own).clamp_(max=len(item) - 1)
        found = item[column] == own
        mask = torch.zeros(len(user), len(item), dtype=torch.bool, device=row.device)
        mask[row[found], column[found]] = True
        return mask
