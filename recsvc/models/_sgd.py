# pyright: basic
# numba's decorators are untyped: a compiled function has no type. `no_type_check` keeps the
# checking of shapes in tests, which wraps every function, away from what numba compiles.
"""The steps of skip-gram with negative sampling, compiled.

Mikolov et al. 2013, "Distributed representations of words and phrases and their compositionality",
eq. 4, by stochastic gradient descent in the order of the walks.
"""

from typing import NamedTuple, no_type_check

import numba
import numpy as np
from jaxtyping import Float32, Float64, Int64
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from recsvc.models._walks import Walks, next_random

_REACH = 8.0  # beyond it a sigmoid is taken as 0 or 1
_CELLS = 64  # entries of the table for a difference of 1
_MIDDLES = (np.arange(2 * _REACH * _CELLS) + 0.5) / _CELLS - _REACH
_SIGMOID = (1.0 / (1.0 + np.exp(-_MIDDLES))).astype(np.float32)
_SOFTPLUS = np.log1p(np.exp(_MIDDLES)).astype(np.float32)

# All pairs of a centre share their negatives. So many times as many as for one pair make up for
# that: with 1, node2vec is significantly worse on Last.fm (docs/decisions/0026).
_DRAWS = 2

# Sums may be taken in any order, so that they go through vector registers; not-a-number stays.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


class AliasTable(NamedTuple):
    """Draws in proportion to weights in constant time (Walker 1977).

    Attributes:
        share: chance of keeping a uniformly drawn row.
        other: what is taken in its place.
    """

    share: Float64[NDArray[np.float64], " n"]
    other: Int64[NDArray[np.int64], " n"]


def alias_table(weights: Float64[NDArray[np.float64], " n"]) -> AliasTable:
    """The table of weights of which one at least is above 0."""
    return AliasTable(*_alias(weights * (len(weights) / weights.sum())))


def train_walks(
    walks: Walks,
    centre: Float32[NDArray[np.float32], "nodes dim"],
    context: Float32[NDArray[np.float32], "nodes dim"],
    share: Float64[NDArray[np.float64], " nodes"],
    other: Int64[NDArray[np.int64], " nodes"],
    *,
    window: int,
    negatives: int,
    alphas: Float64[NDArray[np.float64], " 2"],
    seed: int,
) -> tuple[float, int]:
    """One step for each centre of some walks, in place.

    All pairs of a centre share their negatives: a negative is looked at once, and counts for as
    many pairs as it is no context of. That is the same on average, for less than half of the time.

    Args:
        walks: nodes; -1 after the end of a short walk.
        centre: v.
        context: w.
        share: of the alias table of the negatives.
        other: of the same table.
        window: farthest distance of a pair; the width is drawn anew for each centre.
        negatives: negatives for each pair; twice as many are drawn for a centre, at half the
            weight.
        alphas: step size at the first walk and after the last one.
        seed: of widths and negatives.

    Returns:
        Sum of the losses before each step, and number of pairs.
    """
    loss, pairs = _train_walks(
        walks, centre, context, share, other, window, negatives, alphas, np.uint64(seed)
    )
    return float(loss), int(pairs)


@numba.njit(cache=True)
@no_type_check
def _alias(share):
    """Vose's construction: a row above 1 gives what a row below 1 lacks."""
    share, other = share.copy(), np.arange(len(share))
    rows = np.empty(len(share), np.int64)  # those below 1 from the left, the others from the right
    below, above = 0, len(share)
    for row in range(len(share)):
        if share[row] < 1.0:
            rows[below] = row
            below += 1
        else:
            above -= 1
            rows[above] = row
    while below > 0 and above < len(share):
        below -= 1
        small, large = rows[below], rows[above]
        other[small] = large
        share[large] -= 1.0 - share[small]
        if share[large] < 1.0:
            above += 1
            rows[below] = large
            below += 1
    return share, other


_LINE_BYTES, _LINES = 64, 4  # of a processor's cache, and how many are fetched; it goes on itself


@intrinsic
@no_type_check
def _fetch(typing, table, row):
    """Ask for a row of a table without waiting for it.

    Tables larger than the cache are read at random places, and each waits for memory in its turn.
    """

    def generate(context, builder, signature, arguments):
        array = context.make_array(table)(context, builder, arguments[0])
        place = context.cast(builder, arguments[1], row, types.intp)
        stride = cgutils.unpack_tuple(builder, array.strides)[0]
        begin = builder.mul(place, stride)
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        form = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], form)
        data = builder.bitcast(array.data, byte)
        how = [ir.Constant(number, value) for value in (1, 3, 1)]  # to write, to stay, data
        for line in range(_LINES):
            offset = ir.Constant(begin.type, _LINE_BYTES * line)
            builder.call(fetch, [builder.gep(data, [builder.add(begin, offset)]), *how])
        return context.get_dummy_value()

    return types.void(table, row), generate


# Put into the caller as they are: passing the arrays on takes as long as the arithmetic.
@numba.njit(fastmath=_FAST, inline="always")
@no_type_check
def _draw(share, other, state):
    state, place = next_random(state)
    place *= len(share)
    row = np.int64(place)
    return state, row if place - row < share[row] else other[row]


@numba.njit(fastmath=_FAST, inline="always")
@no_type_check
def _step(centre, context, gradient, c, o, label, alpha):
    """Move w_o, add to the gradient of v_c; the loss before."""
    product = np.float32(0.0)
    for k in range(centre.shape[1]):
        product += centre[c, k] * context[o, k]
    if abs(product) >= _REACH:
        chance, loss = np.float32(product > 0.0), max(np.float32(0.0), product)
    else:
        cell = np.int64((product + np.float32(_REACH)) * np.float32(_CELLS))
        chance, loss = _SIGMOID[cell], _SOFTPLUS[cell]
    size = (label - chance) * alpha
    for k in range(centre.shape[1]):
        gradient[k] += size * context[o, k]
        context[o, k] += size * centre[c, k]
    return loss - label * product


@numba.njit(fastmath=_FAST, inline="always")
@no_type_check
def _around(walks, row, first, last, node):
    """How often a node is in a part of a walk."""
    count = 0
    for place in range(first, last):
        count += walks[row, place] == node
    return count


@numba.njit(cache=True, fastmath=_FAST, nogil=True)
@no_type_check
def _train_walks(walks, centre, context, share, other, window, negatives, alphas, state):
    gradient = np.empty(centre.shape[1], np.float32)
    far = np.empty(negatives * _DRAWS, np.int64)
    one, none = np.float32(1.0), np.float32(0.0)
    loss, pairs = 0.0, 0
    for row in range(len(walks)):
        alpha = np.float32(alphas[0] + (alphas[1] - alphas[0]) * row / len(walks))
        length = 0
        while length < walks.shape[1] and walks[row, length] >= 0:
            _fetch(centre, walks[row, length])
            _fetch(context, walks[row, length])
            length += 1
        for place in range(length):
            state, drawn = next_random(state)
            reach = 1 + np.int64(drawn * window)
            first, last = max(0, place - reach), min(length, place + reach + 1)
            c = walks[row, place]
            gradient[:] = 0.0
            count = last - first - 1
            draws = len(far) if count else 0
            for k in range(draws):
                state, far[k] = _draw(share, other, state)
                _fetch(context, far[k])
            for near in range(first, last):
                if near != place:
                    o = walks[row, near]
                    loss += _step(centre, context, gradient, c, o, one, alpha)
            for n in far[:draws]:
                # For each pair of which it is a negative, and not the context itself.
                times = count - _around(walks, row, first, last, n) + (n == c)
                weight = np.float32(times / _DRAWS)
                if times > 0:
                    loss += weight * _step(centre, context, gradient, c, n, none, alpha * weight)
            for k in range(centre.shape[1]):
                centre[c, k] += gradient[k]
            pairs += count
    return loss, pairs
