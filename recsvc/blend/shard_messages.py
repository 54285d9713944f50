"""What is asked of a shard and what it answers, as bytes: a few facts, and arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

_TYPES: Final = frozenset({"<f4", "<f8", "<i4", "<i8", "|u1"})
_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Message:
    """One question or answer.

    Attributes:
        facts: names and counts, as JSON has them.
        arrays: numbers, each array of one dimension or two.
    """

    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])

    def packed(self) -> bytes:
        """The length of a header, the header as JSON, and the arrays one after the other."""
        arrays = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        shapes = [[name, each.dtype.str, *each.shape] for name, each in arrays.items()]
        header = orjson.dumps({"facts": self.facts, "arrays": shapes})
        length = len(header).to_bytes(_LENGTH_BYTES, "little")
        return b"".join([length, header, *(each.tobytes() for each in arrays.values())])

    @classmethod
    def unpacked(cls, body: bytes) -> "Message":
        """What was packed.

        Raises:
            ValueError: it is no such message.
        """
        try:
            return cls._read(body)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"these {len(body)} bytes are no message: {error}") from error

    @classmethod
    def _read(cls, body: bytes) -> "Message":
        at = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "little")
        header, arrays = orjson.loads(body[_LENGTH_BYTES:at]), dict[str, NDArray[Any]]()
        for name, kind, *shape in header["arrays"]:
            if kind not in _TYPES:
                raise ValueError(f"an array has the type {kind!r}, expected one of {_TYPES}")
            array = np.frombuffer(body, np.dtype(kind), int(np.prod(shape)), at)
            arrays[name] = array.reshape(shape)
            at += array.nbytes
        if at != len(body):
            raise ValueError(f"a message has {len(body)} bytes, expected {at}")
        return cls(dict(header["facts"]), arrays)
