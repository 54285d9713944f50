import json
from pathlib import Path

import pytest

from recsvc.errors import SettingsError
from recsvc.phrases import TextSettings
from recsvc.settings import load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and no text in the environment."""
    import os

    for name in list(os.environ):
        if name.startswith("RECSVC_TEXT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_text_named_leaves_the_others(folder: Path) -> None:
    (folder / "recsvc.toml").write_text("[text.you]\nlisten = 'you heard {items}'\n")
    text = load_settings().text
    assert text.you["listen"] == "you heard {items}"
    assert text.you["purchase"] == "you bought {items}"
    assert text.model_copy(update={"you": TextSettings().you}) == TextSettings()


def test_texts_come_from_the_environment_and_win(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "recsvc.toml").write_text("[text]\nmany = 'A lot.'\npopular = 'Liked.'\n")
    monkeypatch.setenv("RECSVC_TEXT__POPULAR", "Loved.")
    monkeypatch.setenv("RECSVC_TEXT__YOU__LISTEN", "you heard {items}")
    monkeypatch.setenv("RECSVC_TEXT__LINKED", json.dumps({"other": "{count} friends"}))
    text = load_settings().text
    assert (text.many, text.popular) == ("A lot.", "Loved.")
    assert text.you["listen"] == "you heard {items}"
    assert text.linked == {"other": "{count} friends"}


@pytest.mark.parametrize(
    ("toml", "setting", "said"),
    [
        ("because = 'For {reason}.'", "text.because", r"\{reason\}.*expected \{reasons\}"),
        ("because = 'For you.'", "text.because", r"says nothing: expected \{reasons\}"),
        ("popular = '{items}'", "text.popular", r"\{items\}.*expected none"),
        ("you.play = 'you played {item}'", "text.you", r"play: .*\{item\}.*expected \{items\}"),
        ("you.play = 'you played {}'", "text.you", r"play: .*\{\}.*expected \{items\}"),
        ("you.play = 'it {items.real}'", "text.you", r"\{items.real\}"),
        ("you.play = 'it {items[0]}'", "text.you", r"\{items\[0\]\}"),
        ("you.play = 'it {items!r}'", "text.you", r"\{items!r\}"),
        ("you.play = 'it {items:>9}'", "text.you", r"\{items:>9\}"),
        ("you.play = 'it {items'", "text.you", r"play: .*write a brace as \{\{ or \}\}"),
        ("like.city = 'in {items}'", "text.like", r"city: .*expected \{categories\}"),
        ("people.play = '{names}'", "text.people", r"play: .*expected \{count\}"),
        ("linked.other = '{people}'", "text.linked", r"other: .*expected \{count\}"),
        ("linked.one = '{count}'", "text.linked", r"plural forms one: expected 'other'"),
        ("linked = {few = '{count}', other = ''}", "text.linked", r"few, other: .* of one, other"),
        ("language = 'tlh'", "text.language", "'tlh'.*such as en-GB"),
        ("language = '../en'", "text.language", "such as en-GB"),
        ("language = ''", "text.language", "such as en-GB"),
        ("language = 'de'", "text", "'de'.*expected because, mostly_popular, between"),
        ("becuase = 'x'", "text.becuase", "did you mean 'because'"),
    ],
)  # fmt: skip
def test_error_names_the_setting_what_came_and_what_is_known(
    folder: Path, toml: str, setting: str, said: str
) -> None:
    (folder / "recsvc.toml").write_text(f"[text]\n{toml}\n")
    with pytest.raises(SettingsError, match=rf"setting '{setting}'.*{said}"):
        load_settings()


def test_a_translation_needs_the_general_text_of_each_table(folder: Path) -> None:
    (folder / "recsvc.toml").write_text(
        "[text]\nlanguage = 'de'\n[text.you]\nlisten = 'du {items} gehört hast'\n"
    )
    with pytest.raises(SettingsError, match=r"'text.you'.*'interaction'"):
        load_settings()


def test_another_english_keeps_the_texts(folder: Path) -> None:
    (folder / "recsvc.toml").write_text("[text]\nlanguage = 'en-US'\n")
    text = load_settings().text
    assert text == TextSettings(language="en-US")
    assert text.you == TextSettings().you
