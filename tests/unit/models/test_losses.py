import numpy as np
import torch

from recsvc.models._losses import (
    LogSumExp,
    bilateral_softmax,
    contrastive,
    pairwise_ranking,
    sampled_softmax,
)


def made(rows: int, columns: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.randn(n, 5, generator=generator) for n in (rows, columns))
    weight = torch.rand(columns, generator=generator) + 0.5
    out = torch.rand(rows, columns, generator=generator) < 0.2
    return u, v, weight, out


def plain(u: torch.Tensor, v: torch.Tensor, weight: torch.Tensor, out: torch.Tensor):
    logits = (u @ v.T + weight.log()).masked_fill(out, -torch.inf)
    return torch.logsumexp(logits, dim=1)


def test_log_sum_exp_and_its_gradients_are_those_of_torch() -> None:
    u, v, weight, out = made(600, 40)  # more rows than one block holds
    pairs = tuple(torch.nonzero(out).T)
    grads = []
    for ours in (True, False):
        a, b = u.clone().requires_grad_(), v.clone().requires_grad_()
        value = LogSumExp.apply(a, b, weight, pairs) if ours else plain(a, b, weight, out)
        (value * torch.linspace(0.1, 2.0, len(u))).sum().backward()
        grads.append((value.detach(), a.grad, b.grad))
    for given, expected in zip(*grads, strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


def test_a_row_of_which_all_is_left_out_has_no_gradient() -> None:
    u, v, weight, out = made(3, 4)
    out[1] = True
    u.requires_grad_()
    value = LogSumExp.apply(u, v, weight, tuple(torch.nonzero(out).T))
    sampled_softmax(torch.zeros(3), value).sum().backward()
    assert value.isfinite().all()
    assert u.grad is not None
    np.testing.assert_array_equal(u.grad[1], 0.0)


def test_sampled_softmax_by_hand() -> None:
    e = np.exp
    negative = torch.tensor([np.log(e(0.0)), np.log(e(1.0) + e(0.5))])
    expected = [-np.log(e(1) / (e(1) + e(0))), -np.log(e(2) / (e(2) + e(1) + e(0.5)))]
    loss = sampled_softmax(torch.tensor([1.0, 2.0]), negative)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_bilateral_softmax_by_hand() -> None:
    loss = bilateral_softmax(torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5]), 0.8)
    np.testing.assert_allclose(loss, [0.8 * 3 - 1, 0.8 * 0.5 + 2], rtol=1e-6)


def test_pairwise_ranking_by_hand() -> None:
    owned = torch.tensor([[False, False, True], [True, True, True]])
    negative = torch.tensor([[0.0, 2.0, 9.0], [1.0, 1.0, 1.0]])
    loss = pairwise_ranking(torch.tensor([1.0, 1.0]), negative, owned)
    expected = [(np.log1p(np.exp(-1)) + np.log1p(np.exp(1))) / 2, 0.0]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_contrastive_by_hand() -> None:
    one = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    other = torch.tensor([[0.6, 0.8], [0.0, 1.0]])
    products = np.array([[0.6, 0.0], [0.8, 1.0]]) / 0.5
    expected = np.log(np.exp(products).sum(axis=1)) - np.diag(products)
    np.testing.assert_allclose(contrastive(one, other, 0.5), expected, rtol=1e-5)
