"""Small encoders of texts and of images, named in tests as `tests.unit.content.encoding:words`."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ASKED: list[str | Path] = []
"""What encoders were given, since somebody emptied it."""
LENGTH = 64


def words(texts: Sequence[str]) -> NDArray[np.float32]:
    """How often each word is there, by its hash: the same words, the same vector."""
    ASKED.extend(texts)
    vectors = np.zeros((len(texts), LENGTH), np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().replace(".", " ").replace(",", " ").split():
            vectors[row, zlib.crc32(word.encode()) % LENGTH] += 1.0
    return vectors


def colours(paths: Sequence[Path]) -> NDArray[np.float32]:
    """How often each of the 16 highest values of a byte is in a file."""
    ASKED.extend(paths)
    read = [np.frombuffer(path.read_bytes(), np.uint8) // 16 for path in paths]
    return np.stack([np.bincount(high, minlength=16) for high in read]).astype(np.float32)


def ragged(texts: Sequence[str]) -> NDArray[np.float32]:
    """Another length each time."""
    ASKED.extend(texts)
    return np.ones((len(texts), len(ASKED)), np.float32)


def too_few(texts: Sequence[str]) -> NDArray[np.float32]:
    """One vector, however many texts."""
    return np.ones((1, 3), np.float32)


def not_finite(texts: Sequence[str]) -> NDArray[np.float32]:
    """NaN."""
    return np.full((len(texts), 3), np.nan, np.float32)
