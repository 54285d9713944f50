# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""What training makes small, for one batch of positive examples."""

from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn import functional

_ROWS_AT_ONCE = 256  # of the similarities: what stays in a cache is three times as fast


class WithGradient(torch.autograd.Function):
    """A number whose gradient with respect to x is known already."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Float32[Tensor, "n dim"],
        gradient: Float32[Tensor, "n dim"],
        value: Float32[Tensor, ""],
    ) -> Float32[Tensor, ""]:
        """Give the number."""
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Give the gradient."""
        return ctx.saved_tensors[0] * gradients[0], None, None


class LogSumExp(torch.autograd.Function):
    """log Σ_n w_n exp(<u_b, v_n>) for each row b of u, some pairs left out.

    The products must be bounded, as cosines over a temperature are: no maximum is taken out. The
    similarities are kept once, as exponentials, and every pass goes over blocks of rows.
    """

    @staticmethod
    def forward(
        ctx: Any,
        u: Float32[Tensor, "batch dim"],
        v: Float32[Tensor, "n dim"],
        weight: Float32[Tensor, " n"],
        left_out: tuple[Int64[Tensor, " pairs"], Int64[Tensor, " pairs"]],
    ) -> Float32[Tensor, " batch"]:
        """Compute the sums; a row of which all is left out gives log of the least float."""
        exponential = torch.empty(len(u), len(v), device=u.device)
        total = torch.empty(len(u), device=u.device)
        row, column = left_out
        parts = [slice(begin, begin + _ROWS_AT_ONCE) for begin in range(0, len(u), _ROWS_AT_ONCE)]
        ends = torch.tensor([part.stop for part in parts], device=row.device)
        counts = torch.searchsorted(row, ends).diff(prepend=row.new_zeros(1)).tolist()
        own = zip(row.split(counts), column.split(counts), strict=True)
        for part, (own_row, own_column) in zip(parts, own, strict=True):
            block = exponential[part]
            torch.matmul(u[part], v.T, out=block).exp_()
            block[own_row - part.start, own_column] = 0.0
            torch.mv(block, weight, out=total[part])
        total.clamp_(min=torch.finfo(torch.float32).tiny)
        ctx.save_for_backward(u, v, weight, exponential, total)
        return total.log()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Softmax-weighted sums of the rows on the other side."""
        u, v, weight, exponential, total = ctx.saved_tensors
        scale = (gradients[0] / total)[:, None]
        weighted, scaled = weight[:, None] * v, scale * u
        of_u, of_v = torch.empty_like(u), torch.zeros_like(v)
        for begin in range(0, len(u), _ROWS_AT_ONCE):
            part = slice(begin, begin + _ROWS_AT_ONCE)
            torch.matmul(exponential[part], weighted, out=of_u[part])
            of_v.addmm_(exponential[part].T, scaled[part])
        return of_u * scale, of_v * weight[:, None], None, None


def sampled_softmax(
    positive: Float32[Tensor, " batch"], negative: Float32[Tensor, " batch"]
) -> Float32[Tensor, " batch"]:
    """-log(exp(p) / (exp(p) + Σ_n exp(n))).

    Wu et al. 2024, "On the effectiveness of sampled softmax loss for item recommendation".

    Args:
        positive: p, cosine / τ of each example.
        negative: log Σ_n exp(n) over the negatives of each example.
    """
    return functional.softplus(negative - positive)


def bilateral_softmax(
    positive: Float32[Tensor, " batch"], negative: Float32[Tensor, " batch"], weight: float
) -> Float32[Tensor, " batch"]:
    """-p + ω log Σ_n exp(n).

    Wu et al. 2024, "BSL: Understanding and improving softmax loss for recommendation", in the
    form of the authors' code: both sides share one temperature, and ω, there the second
    temperature, is how much the negatives count.

    Args:
        positive: p, cosine / τ of each example.
        negative: log Σ_n exp(n) over the negatives of each example.
        weight: ω.
    """
    return weight * negative - positive


def pairwise_ranking(
    positive: Float32[Tensor, " batch"],
    negative: Float32[Tensor, "batch n"],
    owned: Tensor,
) -> Float32[Tensor, " batch"]:
    """Mean over the negatives of -log σ(f_ui - f_uj).

    BPR: Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback", §4.1.

    Args:
        positive: score of each example.
        negative: scores of its own negatives.
        owned: negatives that are none for that user, bool; they are left out.
    """
    losses = functional.softplus(negative - positive[:, None]).masked_fill(owned, 0.0)
    return losses.sum(1) / (~owned).sum(1).clamp(min=1)


def contrastive(
    one: Float32[Tensor, "n dim"], other: Float32[Tensor, "n dim"], temperature: float
) -> Float32[Tensor, " n"]:
    """-log(exp(<a_i, b_i> / τ) / Σ_j exp(<a_i, b_j> / τ)) for two views a and b of the same nodes.

    InfoNCE: van den Oord et al. 2018, "Representation learning with contrastive predictive
    coding", eq. 4.

    Args:
        one: a, rows of length 1.
        other: b, rows of length 1.
        temperature: τ.
    """
    nothing = torch.zeros(0, dtype=torch.int64, device=one.device)
    scaled = one / temperature
    all_pairs = LogSumExp.apply(scaled, other, one.new_ones(len(other)), (nothing, nothing))
    return all_pairs - (scaled * other).sum(1)
