import numpy as np
import scipy.sparse as sp
import torch

from recsvc.models._sampling import EvidenceSampler

CPU = torch.device("cpu")


def made(batch_size: int = 8) -> tuple[sp.csr_matrix, EvidenceSampler]:
    generator = np.random.default_rng(0)
    dense = (generator.random((12, 9)) < 0.3) * generator.uniform(0.5, 2.0, (12, 9))
    evidence = sp.csr_matrix(dense, dtype=np.float32)
    return evidence, EvidenceSampler(evidence, batch_size, CPU, 0)


def test_an_epoch_is_every_entry_once() -> None:
    evidence, sampler = made()
    drawn = [torch.stack(batch).numpy() for batch in sampler.positives()]
    user, item, weight = np.concatenate(drawn, axis=1)
    again = sp.csr_matrix((weight, (user.astype(int), item.astype(int))), shape=evidence.shape)
    assert (again != evidence).nnz == 0
    assert all(batch.shape[1] == 8 for batch in drawn[:-1])


def test_owned_is_where_there_is_evidence() -> None:
    evidence, sampler = made()
    user, item = torch.tensor([3, 0, 3, 11]), torch.tensor([0, 2, 3, 8])
    expected = evidence.toarray()[user][:, item] > 0
    np.testing.assert_array_equal(sampler.owned(user, item), expected)


def test_uniform_negatives_are_different_items_all_alike() -> None:
    _, sampler = made()
    count = np.zeros(9)
    for _ in range(2000):
        negatives = sampler.uniform(3)
        assert (np.diff(negatives.item) > 0).all()
        assert (negatives.log_weight == 0).all()
        count[negatives.item] += 1
    np.testing.assert_allclose(count / count.sum(), 1 / 9, atol=0.01)


def test_weights_of_items_in_the_batch_make_up_for_popularity() -> None:
    evidence, sampler = made(batch_size=6)
    owners = np.bincount(evidence.indices, minlength=9)
    inclusion = 1 - (1 - owners / owners.sum()) ** 6
    for batch in sampler.positives():
        negatives = sampler.in_batch(batch)
        weight = negatives.log_weight.exp().numpy()
        np.testing.assert_allclose(weight.mean(), 1.0, rtol=1e-5)
        inverse = 1 / inclusion[negatives.item]
        np.testing.assert_allclose(weight, inverse / inverse.mean(), rtol=1e-5)
