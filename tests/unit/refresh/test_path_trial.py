"""What a meta-path adds is measured on users that its weight was not learned on."""

import numpy as np

from recsvc.blend.blend import BASE
from recsvc.blend.weights import Candidates
from recsvc.refresh.path_trial import _measured

USERS, ITEMS = 100, 30


def made_candidates() -> Candidates:
    """A weak signal, and a meta-path that helps one user in five and leads the others astray."""
    generator = np.random.default_rng(0)
    relevant = generator.random((USERS, ITEMS)) < 0.2
    relevant[:, 0] = True
    ridge = generator.random((USERS, ITEMS)) + 0.3 * relevant
    helped = (np.arange(USERS) % 5 == 0)[:, None]
    path = np.where(helped, relevant, ~relevant) + 0.01 * generator.random((USERS, ITEMS))
    features = np.stack([ridge, path, np.zeros_like(ridge)]).astype(np.float32)
    return Candidates(features, relevant, np.ones_like(relevant), relevant.sum(axis=1))


def test_what_helps_only_the_users_that_are_asked_adds_nothing() -> None:
    """Every fifth user is one of the five parts: learned on the others, λ is the least."""
    candidates = made_candidates()
    many = np.ones(len(candidates.n_relevant), bool)
    found = _measured(
        candidates, {"ridge": "item", "path": "item"}, many, "path",
        {"ridge": 1.0, "path": 0.5, BASE: 0.2}, lambda _what, _done, _total: None,
    )  # fmt: skip
    assert found["alone"]["ndcg@20"].mean > 0.2
    assert abs(found["gain"]["ndcg@20"].mean) < 0.01
