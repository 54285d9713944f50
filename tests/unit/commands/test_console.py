import pytest

from recsvc.commands import console


@pytest.mark.parametrize(
    ("value", "shown"),
    [(-12345.6, "-12,346"), (12345.6, "12,346"), (-0.123456, "-0.1235"), (12345, "12,345"),
     (True, "True"), (None, ""), ("a", "a")],
)  # fmt: skip
def test_a_cell_is_short_and_has_commas(value: object, shown: str) -> None:
    assert console._shown(value) == shown
