import pytest

from loaders.stored_json import json_object


@pytest.mark.parametrize("text", [None, 7, "", "{", "7", "[1]", "[" * 100_000, '{"a":' * 100_000])
def test_what_is_no_object_is_none(text: object) -> None:
    assert json_object(text) is None


def test_an_object_is_read() -> None:
    assert json_object('{"a": [1]}') == {"a": [1]}
