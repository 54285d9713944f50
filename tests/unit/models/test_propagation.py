import numpy as np
import pytest
import torch

from recsvc.models._propagation import Graph, LayerMean, Noise, Product, normalised_adjacency
from tests.unit.models.made import ITEMS, USERS, made_evidence

CPU = torch.device("cpu")
NODES = torch.tensor([30, 2, 17, 3, 11])


def dense() -> torch.Tensor:
    return torch.from_numpy(normalised_adjacency(made_evidence()).toarray())


def made_graph() -> Graph:
    return Graph(normalised_adjacency(made_evidence()), CPU)


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_the_adjacency_is_normalised_on_both_sides() -> None:
    evidence = made_evidence().toarray().astype(np.float64)
    whole = np.block([[np.zeros((USERS, USERS)), evidence], [evidence.T, np.zeros((ITEMS, ITEMS))]])
    degree = whole.sum(axis=1)
    root = np.where(degree > 0, degree, np.inf) ** -0.5
    np.testing.assert_allclose(dense(), root[:, None] * whole * root, rtol=1e-5)


@pytest.mark.usefixtures("threads")
def test_products_are_those_of_the_dense_matrix() -> None:
    x = torch.randn(USERS + ITEMS, 6)
    torch.testing.assert_close(made_graph().product(x), dense() @ x)
    torch.testing.assert_close(made_graph().rows(x, NODES), (dense() @ x)[NODES])
    values = torch.randn(len(NODES), 6)
    torch.testing.assert_close(made_graph().spread(values, NODES), dense()[:, NODES] @ values)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_rows_of_the_mean_and_their_gradient(layers: int) -> None:
    start = torch.randn(USERS + ITEMS, 6)
    weights = torch.randn(2, len(NODES), 6)
    ours, plain = (start.clone().requires_grad_() for _ in range(2))

    mean, first = LayerMean.apply(ours, made_graph(), NODES, layers)
    powers = [plain]
    for _ in range(layers):
        powers.append(dense() @ powers[-1])
    expected = torch.stack(powers).mean(0)[NODES]
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(first, start[NODES])

    ((mean * weights[0]).sum() + (first * weights[1]).sum()).backward()
    ((expected * weights[0]).sum() + (plain[NODES] * weights[1]).sum()).backward()
    torch.testing.assert_close(ours.grad, plain.grad)


@pytest.mark.parametrize(("layers", "chosen"), [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3)])
def test_noise_is_in_every_layer_and_has_no_gradient(layers: int, chosen: int) -> None:
    start = torch.randn(USERS + ITEMS, 6)
    weights = torch.randn(3, len(NODES), 6)
    ours, plain = (start.clone().requires_grad_() for _ in range(2))
    given = LayerMean.apply(
        ours, made_graph(), NODES, layers, Noise(0.3, chosen, torch.Generator().manual_seed(5))
    )

    generator = torch.Generator().manual_seed(5)
    powers = [plain]
    for layer in range(1, layers + 1):
        own = dense() @ powers[-1]
        own = own[NODES] if layer == layers else own
        draw = torch.rand(own.shape, generator=generator)
        noise = 0.3 * draw / draw.norm(dim=1, keepdim=True) * own.detach().sign()
        powers.append(own + noise)
    rows = [power if layer == layers else power[NODES] for layer, power in enumerate(powers)]
    expected = torch.stack(rows).mean(0), rows[0], rows[chosen]
    torch.testing.assert_close(given, expected)

    (torch.stack(list(given)) * weights).sum().backward()
    (torch.stack(list(expected)) * weights).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad)


def test_the_gradient_of_the_product() -> None:
    ours, plain = (torch.ones(USERS + ITEMS, 4, requires_grad=True) for _ in range(2))
    weights = torch.randn(USERS + ITEMS, 4)
    (Product.apply(ours, made_graph()) * weights).sum().backward()
    ((dense() @ plain) * weights).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad)


def test_the_number_of_threads_changes_no_bit() -> None:
    graph, x, values = made_graph(), torch.randn(USERS + ITEMS, 6), torch.randn(len(NODES), 6)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(torch.cat([graph.product(x), graph.spread(values, NODES)]))
    torch.set_num_threads(before)
    assert torch.equal(*found)
