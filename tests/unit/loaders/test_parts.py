"""Parts that are written and read together."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders import parts
from loaders.catalogue import Query
from loaders.gateway import Row
from loaders.parts import Part, array_parts, in_portions, stored_parts
from loaders.writeback import write_snapshot


@given(st.lists(st.binary(max_size=30)))
def test_portions_are_all_parts_in_order_and_no_larger_than_one_may_be(
    contents: list[bytes],
) -> None:
    whole = [Part("entry", number, content) for number, content in enumerate(contents)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_BYTES", 20)
        portions = list(in_portions(whole))
    assert [part for portion in portions for part in portion] == whole
    sizes = [sum(len(part.content) for part in portion) for portion in portions]
    assert all(size <= 20 for size, portion in zip(sizes, portions, strict=True) if portion[1:])
    # None of them has room for the first of the next one.
    for size, following in zip(sizes, portions[1:], strict=False):
        assert size + len(following[0].content) > 20


def test_a_small_snapshot_is_one_statement_and_a_large_one_several() -> None:
    """Each is a transaction, with the look at the lease and the wait for the disk."""

    class Recording:
        def __init__(self) -> None:
            self.asked: list[tuple[str, int]] = []

        def run(self, query: Query, **given: Any) -> list[Row]:
            self.asked.append((query.name, len(given.get("parts", ()))))
            return []

    half = b"x" * (parts.PART_BYTES // 2)
    small = [Part("small", number, b"y") for number in range(50)]
    large = [Part("large", number, half) for number in range(5)]
    name = "writeback/snapshot_parts"
    for content, portions in ((small, [50]), (large, [2, 2, 1])):
        gateway = Recording()
        told: list[int] = []
        assert write_snapshot(gateway, 1, content, told.append) == len(content)  # pyright: ignore[reportArgumentType]
        first, *written = gateway.asked
        assert first[0] == "writeback/clear_parts"
        assert written == [(name, number) for number in portions]
        assert told[-1] == len(content)


def test_headers_come_with_the_names_and_are_not_asked_for() -> None:
    arrays = {"a.npy": np.arange(6.0), "b.npy": np.zeros((0, 3))}
    whole = [part for entry, array in arrays.items() for part in array_parts(entry, array)]
    headers = [part for part in whole if part.number == 0]
    whole.append(Part("ids", 0, b"[]"))
    asked: list[str] = []

    class Stored:
        def run(self, query: Query, **given: Any) -> list[Row]:
            if query.name == "serve/snapshot_parts":
                return [
                    asdict(part.name) | {"header": part.content if part in headers else None}
                    for part in reversed(whole)
                ]
            asked.append(given["entry"])
            (content,) = [p.content for p in whole if p.name.sha256 == given["sha256"]]
            return [{"content": content}]

    assert list(stored_parts(Stored(), 1)) == whole  # pyright: ignore[reportArgumentType]
    assert asked == ["a.npy", "ids"]
