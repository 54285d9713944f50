"""What turns texts, or images, into vectors."""

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from recsvc.errors import TrainingError

MOST_DIMENSIONS = 8_192
"""Longest vector of an encoder."""
_BATCH = 32
_INSTALL = "install recsvc[content]"


@dataclass(frozen=True, slots=True)
class Encoder:
    """Makes vectors.

    Attributes:
        name: as it was asked for.
        identity: what vectors that are kept were made by: another model, another identity.
        make: takes texts or paths, gives an array with a row for each.
    """

    name: str
    identity: str
    make: Callable[[Sequence[Any]], Any]

    def encode(self, some: Sequence[Any]) -> Float32[NDArray[np.float32], "n dim"]:
        """Encode some texts or images.

        Raises:
            TrainingError: what comes is no finite array with a row for each.
        """
        made = np.asarray(self.make(some), np.float32)
        if made.ndim != 2 or len(made) != len(some) or not 1 <= made.shape[1] <= MOST_DIMENSIONS:
            raise TrainingError(
                f"the encoder {self.name} gave an array {made.shape} for {len(some)} inputs: "
                f"expected a row for each, of 1 to {MOST_DIMENSIONS:,} numbers"
            )
        if not np.isfinite(made).all():
            raise TrainingError(f"the encoder {self.name} gave NaN or an infinity: take another")
        return made


def text_encoder(name: str, model: str, device: str) -> Encoder:
    """An encoder of texts.

    Args:
        name: `sentence-transformers`, `model2vec`, or `module:function`.
        model: a folder, or a name that the library knows.
        device: `cpu` or `cuda`, for what can use it.

    Raises:
        TrainingError: there is no such encoder, or it cannot be loaded.
    """
    libraries = {"sentence-transformers": _sentence_transformers, "model2vec": _model2vec}
    if name not in libraries:
        return function_encoder(name)
    if not model:
        raise TrainingError(
            f"the encoder {name} has no model: set encoder_model in [models.content] to a folder "
            "with one"
        )
    try:
        make = libraries[name](model, device)
    except ImportError as error:
        raise TrainingError(f"the encoder {name} is not there ({error}): {_INSTALL}") from error
    except Exception as error:  # each library has errors of its own for a damaged model
        raise TrainingError(
            f"{name} cannot load {model!r}: {type(error).__name__}: {error}: expected a folder "
            "with a model of this library, or a name it can download"
        ) from error
    return Encoder(name, f"{name} {model} {_stamp(Path(model))}", make)


def function_encoder(name: str) -> Encoder:
    """An encoder that is a function of somebody's own module.

    Raises:
        TrainingError: there is no such function.
    """
    module_name, colon, function_name = name.partition(":")
    expected = "expected sentence-transformers, model2vec, or a function as module:function"
    if not colon:
        raise TrainingError(f"no encoder {name!r}: {expected}")
    try:
        module = importlib.import_module(module_name)
        function = getattr(module, function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise TrainingError(f"no encoder {name!r}: {error}: {expected}") from error
    source = inspect.getsourcefile(module)
    return Encoder(name, f"{name} {_stamp(Path(source)) if source else ''}", function)


def _sentence_transformers(model: str, device: str) -> Callable[[Sequence[str]], Any]:
    from sentence_transformers import SentenceTransformer  # heavy, and only where asked for

    offline = Path(model).is_dir()
    loaded = SentenceTransformer(model, device=device, local_files_only=offline)

    def make(texts: Sequence[str]) -> Any:
        return loaded.encode(
            list(texts), batch_size=_BATCH, show_progress_bar=False, convert_to_numpy=True
        )

    return make


def _model2vec(model: str, device: str) -> Callable[[Sequence[str]], Any]:
    from model2vec import StaticModel  # heavy, and only where asked for

    loaded = StaticModel.from_pretrained(model)
    return lambda texts: loaded.encode(list(texts))


def _stamp(path: Path) -> str:
    """What changes with the files of a model: their names, sizes and times."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    digest = blake2b(digest_size=8)
    for file in files:
        if file.is_file():
            status = file.stat()
            digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()
