import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recsvc.models._sampling import EvidenceSampler, Positives

CPU = torch.device("cpu")


def made(batch_size: int = 8) -> tuple[sp.csr_matrix, EvidenceSampler]:
    generator = np.random.default_rng(0)
    dense = (generator.random((12, 9)) < 0.3) * generator.uniform(0.5, 2.0, (12, 9))
    evidence = sp.csr_matrix(dense, dtype=np.float32)
    return evidence, EvidenceSampler(evidence, batch_size, CPU, 0)


def batch_of(sampler: EvidenceSampler) -> Positives:
    return next(sampler.steps(1, 100))[0]


def test_an_epoch_is_every_entry_once() -> None:
    evidence, sampler = made()
    steps = list(sampler.steps(3, 2))
    assert [len(batches) for batches in steps] == [1, 1, 2]
    drawn = [torch.stack(batch).numpy() for batches in steps for batch in batches]
    user, item, weight = np.concatenate(drawn, axis=1)
    again = sp.csr_matrix((weight, (user.astype(int), item.astype(int))), shape=evidence.shape)
    assert (again != evidence).nnz == 0
    assert all(batch.shape[1] == 8 for batch in drawn[:-1])


def test_an_epoch_of_few_steps_is_a_random_part() -> None:
    _, sampler = made(batch_size=4)
    first, second = (
        [sorted(zip(*(column.tolist() for column in batch), strict=True)) for batch in batches]
        for batches in (*sampler.steps(1, 2), *sampler.steps(1, 2))
    )
    assert [len(batch) for batch in (*first, *second)] == [4] * 4
    assert first != second


def test_owned_is_where_there_is_evidence() -> None:
    evidence, sampler = made()
    user, item = torch.tensor([3, 0, 3, 11]), torch.tensor([0, 2, 3, 8])
    expected = evidence.toarray()[user][:, item] > 0
    found = np.zeros((4, 4), bool)
    row, column = sampler.owned_shared(user, item)
    assert (np.diff(row) >= 0).all()
    found[row, column] = True
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(sampler.owned(user, item.expand(4, 4)), expected)


def test_uniform_negatives_are_all_alike() -> None:
    _, sampler = made()
    batch = batch_of(sampler)
    shared = np.zeros(9)
    for _ in range(2000):
        negatives = sampler.shared("uniform", batch, 3, correction=0.0)
        assert (np.diff(negatives.item) > 0).all()
        shared[negatives.item.numpy()] += negatives.weight.numpy()
    np.testing.assert_allclose(shared / shared.sum(), 1 / 9, atol=0.01)
    drawn = sampler.draw("uniform", batch, 5000)
    np.testing.assert_allclose(np.bincount(drawn.flatten()) / drawn.numel(), 1 / 9, atol=0.01)


def test_popular_items_are_drawn_by_the_power_of_their_owners() -> None:
    evidence, sampler = made()
    share = np.bincount(evidence.indices, minlength=9) ** 0.75
    drawn = sampler.draw("popularity", batch_of(sampler), 5000)
    count = np.bincount(drawn.flatten(), minlength=9)
    np.testing.assert_allclose(count / count.sum(), share / share.sum(), atol=0.01)


def test_negatives_in_the_batch_are_positives_of_the_batch() -> None:
    _, sampler = made()
    batch = batch_of(sampler)
    drawn = sampler.draw("in_batch", batch, 5000)
    times = np.bincount(batch.item, minlength=9)
    count = np.bincount(drawn.flatten(), minlength=9)
    np.testing.assert_allclose(count / count.sum(), times / times.sum(), atol=0.02)


@pytest.mark.parametrize("strategy", ["in_batch", "popularity"])
def test_the_correction_estimates_the_sum_over_all_items(strategy: str) -> None:
    evidence, sampler = made(batch_size=6)
    owners = np.bincount(evidence.indices, minlength=9)
    total = np.zeros((2, 9))
    for _ in range(1500):
        for (batch,) in sampler.steps(100, 1):
            for row, correction in enumerate((0.0, 1.0)):
                negatives = sampler.shared(strategy, batch, 6, correction)
                weight = negatives.weight.numpy()
                assert weight.mean() == pytest.approx(1.0, rel=1e-5)
                total[row, negatives.item.numpy()] += weight / weight.sum()
    total /= total.sum(axis=1, keepdims=True)
    owned = owners > 0
    assert np.corrcoef(total[0][owned], owners[owned])[0, 1] > 0.95
    assert total[1][owned].std() < 0.35 * total[0][owned].std()
