"""Inner products with the vectors of very many items, to a known error, from 8-bit integers.

All signals' vectors are one vector t_i of an item, and λ_s · n_s(u) times their profiles one q.

    t_i   = c ∘ (z_i + r_i),   z_i = round(t_i / c),         c = max_i |t_i| / 127
    c ∘ q = γ · (y + w),       y = round(c ∘ q / γ),         γ = max |c ∘ q| / 127

    <q, t_i> = γ · <y, z_i> + γ · <w, z_i> + <c ∘ q, r_i>

The first part takes a quarter of what the vectors take to read. The others are at most
γ · ‖w‖ · max ‖z_i‖ + ‖c ∘ q‖ · max ‖r_i‖ (Cauchy–Schwarz). So an item that is behind by more than
twice that is none of the best, and few are left to be scored exactly.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numkong
import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

_MOST = 127
_ROWS_AT_ONCE = 16_384
_MOST_DIMENSIONS = 2**24 // _MOST**2
"""Up to here float32 holds <y, z_i> exactly."""

Vectors = Float32[NDArray[np.float32], "items dim"]


class ItemBounds:
    """The vectors of all items as 8-bit integers.

    Args:
        vectors: of each signal that takes part, all of the same items; 1,040 numbers of an item at
            most.

    Raises:
        ValueError: there are more.
    """

    def __init__(self, vectors: Sequence[Vectors]) -> None:
        widths = [table.shape[1] for table in vectors]
        if sum(widths) > _MOST_DIMENSIONS:
            raise ValueError(
                f"vectors have {sum(widths)} numbers, expected {_MOST_DIMENSIONS} at most"
            )
        ends = np.cumsum(widths).tolist()
        self._vectors = tuple(vectors)
        self._place = {
            id(table): slice(end - width, end)
            for table, width, end in zip(vectors, widths, ends, strict=True)
        }
        largest = np.concatenate([np.abs(table).max(axis=0, initial=0.0) for table in vectors])
        self._scale = np.where(largest > 0, largest, 1.0).astype(np.float64) / _MOST
        whole, self._longest, self._rest = _rounded(vectors, self._scale)
        self._packed: Any = numkong.dots_pack(whole, dtype="int8")

    def __contains__(self, vectors: object) -> bool:
        return id(vectors) in self._place

    def products(
        self, profiles: Mapping[int, Float64[NDArray[np.float64], " dim"]]
    ) -> tuple[Float32[NDArray[np.float32], " items"], float, float]:
        """<q, t_i> of every item, nearly.

        Args:
            profiles: by `id` of vectors that take part, that part of q; the others are 0.

        Returns:
            The products, the most that each of them is wrong but for float32 rounding, and a bound
            of their size.
        """
        turned = np.zeros(len(self._scale))
        for key, profile in profiles.items():
            turned[self._place[key]] = profile
        turned *= self._scale
        step = float(np.abs(turned).max(initial=0.0)) / _MOST or 1.0
        whole = np.rint(turned / step)
        left = float(np.linalg.norm(turned - step * whole))
        error = left * self._longest + float(np.linalg.norm(turned)) * self._rest
        asked = whole.astype(np.int8)[None]
        products = np.asarray(numkong.dots_packed(asked, self._packed))[0].astype(np.float32)
        products *= np.float32(step)
        return products, error, step * float(np.linalg.norm(whole)) * self._longest


def _rounded(
    vectors: Sequence[Vectors], scale: Float64[NDArray[np.float64], " dim"]
) -> tuple[NDArray[np.int8], float, float]:
    """The z of all items, max ‖z_i‖ and max ‖r_i‖."""
    items = len(vectors[0])
    whole = np.empty((items, len(scale)), np.int8)
    longest = rest = 0.0
    for begin in range(0, items, _ROWS_AT_ONCE):
        own = slice(begin, begin + _ROWS_AT_ONCE)
        exact = np.concatenate([table[own] for table in vectors], axis=1) / scale
        near = np.rint(exact)
        whole[own] = near
        longest = max(longest, float(np.linalg.norm(near, axis=1).max()))
        rest = max(rest, float(np.linalg.norm(exact - near, axis=1).max()))
    return whole, longest, rest
