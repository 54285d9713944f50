"""The tables of a small graph with six tastes in it."""

from pathlib import Path

import numpy as np
import polars as pl

TASTES, USERS_EACH, ITEMS_EACH = 6, 40, 30


def write_tables(folder: Path) -> None:
    """Users have one of six tastes; four of a taste at a time follow each other and share more."""
    rng = np.random.default_rng(7)
    interactions, follows, categories = [], [], []
    for user in range(TASTES * USERS_EACH):
        taste, circle = user % TASTES, user // (4 * TASTES)
        shared = taste * ITEMS_EACH + (3 * circle + np.arange(8)) % ITEMS_EACH
        own = rng.choice(shared, 6, replace=False), taste * ITEMS_EACH + rng.choice(ITEMS_EACH, 6)
        other = rng.choice(TASTES * ITEMS_EACH, 2, replace=False)
        items = sorted({*own[0].tolist(), *own[1].tolist(), *other.tolist()})
        interactions += [(f"u{user}", f"i{item}", "listen") for item in items]
        first = circle * 4 * TASTES + taste
        circle_members = range(first, first + 4 * TASTES, TASTES)
        follows += [(f"u{user}", f"u{friend}") for friend in circle_members if friend != user]
    for item in range(TASTES * ITEMS_EACH):
        categories += [(f"i{item}", f"c{item // ITEMS_EACH}"), (f"i{item}", f"x{item % 7}")]
    pl.DataFrame(interactions, schema=["user_id", "item_id", "event"], orient="row").write_csv(
        folder / "interactions.csv"
    )
    pl.DataFrame(follows, schema=["follower_id", "followee_id"], orient="row").write_csv(
        folder / "follows.csv"
    )
    pl.DataFrame(categories, schema=["item_id", "category_id"], orient="row").write_csv(
        folder / "item_categories.csv"
    )
    items = [f"i{item}" for item in range(TASTES * ITEMS_EACH)]
    pl.DataFrame({"item_id": items, "title": [f"Song {i}" for i in items]}).write_csv(
        folder / "items.csv"
    )
    pl.DataFrame({"user_id": ["fan", "newcomer"], "category_id": ["c3", "c1"]}).write_csv(
        folder / "preferences.csv"
    )
