import pytest

from loaders.mapped._tokens import conjuncts, text_of, tokens_of


@pytest.mark.parametrize(
    ("condition", "parts"),
    [
        ("a.x = 1 AND b.y = 2", ["a.x = 1", "b.y = 2"]),
        ("a.x = 1 AND (b.y = 2 OR c.z = 3)", ["a.x = 1", "(b.y = 2 OR c.z = 3)"]),
        ("a.x = 1 AND b.y = 2 OR c.z = 3", ["a.x = 1 AND b.y = 2 OR c.z = 3"]),
        ("a.x = 1 XOR b.y = 2", ["a.x = 1 XOR b.y = 2"]),
    ],
)
def test_a_condition_falls_apart_where_all_of_it_has_to_hold(
    condition: str, parts: list[str]
) -> None:
    assert [text_of(part).strip() for part in conjuncts(tokens_of(condition))] == parts
