"""The guide says what is there: links, commands, settings, options."""

import json
import re
import runpy
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.testing import CliRunner

from loaders.catalogue import catalogue
from loaders.datasets import open_source
from loaders.tables import Rejects, graph_from_tables
from recsvc.cli import app
from recsvc.phrases import Phrase, TextSettings
from recsvc.refresh.options import RefreshOptions, model_values, refresh_options
from recsvc.settings import (
    ChangeSettings,
    EventSettings,
    KafkaSettings,
    OidcSettings,
    OutcomeSettings,
    Settings,
    TrackingSettings,
    load_settings,
)
from recsvc.signals.metapath import (
    _KIND_BY_PREFIX,  # pyright: ignore[reportPrivateUsage] (the guide names them all)
)
from recsvc.training.described import content_source
from recsvc.training.experiment import read_training_data
from recsvc.training.published import data_sha256
from tests.unit.made_tables import write_tables
from tests.unit.run_by import RUN_BY

ROOT = Path(__file__).parents[2]
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "cypher" / "README.md")
}
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`recsvc ([^`]+)`")
CELL = re.compile(r"^\| `([^`]+)` \| ([^|]+) \|", re.MULTILINE)
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|TBD|XXX)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~$}:/-])/(?:home|root|work|tmp|mnt|Users|private)/")
REGISTRY = re.compile(
    r"https?://\S*(?:pypi|pythonhosted|maven|artifactory|nexus|registry|simple/|docker\.io)"
    r"|--(?:extra-)?index-url",
    re.IGNORECASE,
)


def section(page: str, heading: str) -> str:
    """What stands below a heading, up to the next one."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGES[page], re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no heading {heading!r}"
    return found[1]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        elif not command.hidden:  # as that of `make demo`
            yield f"{path} {name}"


def shown(default: Any) -> str:
    """A default as the pages write it."""
    if default is None:
        return "unset"
    values = default if isinstance(default, tuple) else (default,)
    return ", ".join(f"`{value}`" for value in values) or "none"


def defaults(model: type[BaseModel]) -> dict[str, str | None]:
    """The fields and their defaults; None where it is made when asked for."""
    return {
        name: None if field.default is PydanticUndefined else shown(field.default)
        for name, field in model.model_fields.items()
    }


def check_table(text: str, expected: dict[str, str | None]) -> None:
    documented = dict(CELL.findall(text))
    assert documented.keys() == expected.keys()
    for name, default in expected.items():
        assert default is None or documented[name] == default, name


# --- pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in LINK.findall(FENCE.sub("", PAGES[page])):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert file.is_file(), f"{page}: {target}"
        assert file.is_relative_to(ROOT), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{page}: {target}"


def test_llms_txt_is_what_its_script_makes() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "llms.py"))["llms_txt"]()
    assert (ROOT / "llms.txt").read_text(encoding="utf-8") == made, "run: python docs/llms.py"


def test_the_index_lists_every_page() -> None:
    listed = set(LINK.findall(PAGES["docs/index.md"]))
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert pages - {"index.md"} <= listed


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("unwanted", [UNFINISHED, MACHINE_PATH, REGISTRY])
def test_nothing_unfinished_or_of_one_machine(page: str, unwanted: re.Pattern[str]) -> None:
    assert not unwanted.search(PAGES[page])


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (UNFINISHED, "TODO: write this"),
        (MACHINE_PATH, "see /home/somebody/recsvc"),
        (REGISTRY, "https://packages.example/simple/recsvc"),
        (REGISTRY, "pip install --index-url http://10.0.0.1"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


def test_every_decision_has_its_four_parts_and_a_number_of_its_own() -> None:
    decisions = sorted(page for page in PAGES if page.startswith("docs/decisions/"))
    for number, page in enumerate(decisions, start=1):
        assert Path(page).name.startswith(f"{number:04d}-")
        assert PAGES[page].startswith(f"# {number}. ")
        headings = re.findall(r"^## (.+)$", PAGES[page], re.MULTILINE)
        assert {"Context", "Decision", "Consequence"} <= set(headings), page
        assert {"What was measured", "What was considered"} & set(headings) or number == 7, page


def test_every_snippet_has_a_test_that_runs_it() -> None:
    shown = {
        f"{page} {language}"
        for page, text in PAGES.items()
        for language in re.findall(r"^```(\w+)\n", text, re.MULTILINE)
    }
    assert shown == RUN_BY.keys()
    for test in RUN_BY.values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), test


# --- commands, settings, options --------------------------------------------------------------


def test_the_readme_lists_every_command_and_no_other() -> None:
    listed = re.findall(r"^\| `(recsvc [^`]+)` \|", section("README.md", "Commands"), re.MULTILINE)
    assert sorted(listed) == sorted(commands(typer.main.get_command(app), "recsvc"))


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    """Every recsvc command that stands on a line of its own: its page, and its words."""
    command = re.compile(r"(?:    |\$ )?(?:RECSVC_\w+=\S+ )?(?:\.venv/bin/)?recsvc (.+)")
    for page, text in PAGES.items():
        marked = re.findall(r"^(?:    |\$ ).*$", text, re.MULTILINE)
        script = re.sub(r"\\\n\s*", " ", "".join(blocks(page, "sh")))
        for line in (*marked, *script.splitlines()):
            if found := command.fullmatch(line):
                # What follows two spaces says what the command does.
                yield page, shlex.split(found[1].split("  ")[0], comments=True)


def test_every_command_shown_is_taken() -> None:
    lines = list(shown_commands())
    assert len(lines) > 40
    root: Any = typer.main.get_command(app)
    for page, words in lines:
        command = root
        while hasattr(command, "commands"):
            command, words = command.commands[words[0]], words[1:]
        try:
            command.make_context(command.name, words)
        except typer.BadParameter as error:
            if not error.message.endswith("does not exist."):  # the reader's own file
                raise AssertionError(f"{page}: {words}") from error


def test_every_option_named_beside_a_command_exists() -> None:
    spans = [(page, span) for page in PAGES for span in SPAN.findall(FENCE.sub("", PAGES[page]))]
    assert len(spans) > 100
    root: Any = typer.main.get_command(app)
    for page, span in spans:
        if page == "CHANGELOG.md":
            continue  # it tells of what was
        command, words = root, span.split()
        while hasattr(command, "commands") and words and words[0] in command.commands:
            command, words = command.commands[words[0]], words[1:]
        assert command is not root or words[0].startswith("-"), f"{page}: recsvc {span}"
        options = {option for parameter in command.params for option in parameter.opts}
        named = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert named <= options | {"--help"}, f"{page}: recsvc {span}"


def test_the_commands_of_keys_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path))
    create, nightly, listed, revoke = blocks("docs/keys.md", "sh")[0].splitlines()
    done = [
        CliRunner().invoke(app, shlex.split(line)[1:])
        for line in (create, nightly, listed, revoke, listed)
    ]
    assert [each.exit_code for each in done] == [0] * 5
    assert "shop" in done[2].output
    assert "shop" not in done[4].output
    assert "nightly" in done[4].output


def test_the_settings_of_tokens_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recsvc.toml").write_text(blocks("docs/keys.md", "toml")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    oidc = load_settings().oidc
    assert oidc is not None
    assert oidc.scopes["shop-operator"] == "admin"
    check_table(section("docs/keys.md", "Tokens of an OIDC issuer"), defaults(OidcSettings))


def test_every_setting_is_documented_with_its_default() -> None:
    expected = defaults(Settings)
    check_table(section("docs/settings.md", "All settings"), expected)


def test_every_field_of_tracking_is_documented_with_its_default() -> None:
    check_table(section("docs/settings.md", "Tracking"), defaults(TrackingSettings))
    check_table(section("docs/loop.md", "Settings"), defaults(OutcomeSettings))
    check_table(section("docs/streams.md", "Settings"), defaults(KafkaSettings))
    check_table(section("docs/streams.md", "The feed of changes"), defaults(ChangeSettings))


@pytest.mark.parametrize(
    ("page", "command"),
    [
        ("docs/evaluate.md", "evaluate"),
        ("docs/schedule.md", "schedule"),
        ("docs/train.md", "train"),
        ("docs/train.md", "tune"),
    ],
)
def test_every_option_of_a_model_command_is_documented(page: str, command: str) -> None:
    heading = "option" if command == "evaluate" else f"option of `{command}`"
    table = re.search(rf"^\| {heading} \|.*?(?=^$|\Z)", PAGES[page], re.DOTALL | re.MULTILINE)
    assert table
    documented = re.findall(r"`(--[a-z-]+)`", "".join(re.findall(r"^\| `.*?\|", table[0], re.M)))
    group: Any = typer.main.get_command(app)
    options = [o for p in group.commands[command].params for o in p.opts if o.startswith("--")]
    assert sorted(documented) == sorted(options)


@pytest.mark.parametrize(
    "page", [pytest.param("docs/evaluate.md", marks=pytest.mark.long), "docs/train.md"]
)
def test_the_commands_of_the_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path / "home"))
    train, test = write_tables(tmp_path)
    (tmp_path / "tables").mkdir()
    shutil.copy(train, tmp_path / "tables" / "interactions.csv")
    for name, table in (("train", train), ("test", test)):
        lists: dict[str, list[str]] = {}
        for row in table.read_text().split()[1:]:
            user, item = (field[1:] for field in row.split(","))
            lists.setdefault(user, []).append(item)
        text = "".join(f"{user} {' '.join(items)}\n" for user, items in lists.items())
        (tmp_path / f"{name}.txt").write_text(text)
        table.rename(tmp_path / f"{name}.csv")
    shipped = tmp_path / "published.toml"
    digest = data_sha256(read_training_data(tmp_path / "train.txt", None, Settings().events).graph)
    shipped.write_text(
        f'[[data_set]]\nname = "Made"\nsha256 = "{digest}"\nmodels.walk3.source = "a table"\n'
    )
    monkeypatch.setattr("recsvc.training.published.SHIPPED", shipped)
    lines = "".join(blocks(page, "sh")).splitlines()
    assert lines
    for line in lines:
        done = CliRunner().invoke(app, [*line.split()[1:], "--device", "cpu"])
        assert done.exit_code == 0, (line, done.output, done.exception)


def test_every_field_of_an_event_is_documented_with_its_default() -> None:
    fields, _, kinds = section("docs/settings.md", "Events").partition("These kinds are there.")
    check_table(fields, defaults(EventSettings))
    documented = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| `([^`]+)` \|$", kinds, re.MULTILINE)
    built_in = Settings.model_fields["events"].get_default(call_default_factory=True)
    assert documented == [(name, str(e.weight), str(e.exponent)) for name, e in built_in.items()]
    assert all(event.half_life_days is None for event in built_in.values())


def test_every_text_is_documented_with_its_default() -> None:
    text = section("docs/settings.md", "Text")
    fields, *tables = re.split(r"^(?=\| `(?:you|like|people)` \| \|$)", text, flags=re.MULTILINE)
    check_table(fields, defaults(TextSettings))
    for name, table in zip(("you", "like", "people"), tables, strict=True):
        phrases = getattr(TextSettings(), name)
        rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE)
        assert rows == [(kind, phrase_shown(phrase)) for kind, phrase in phrases.items()]
    assert f"`linked` is {phrase_shown(TextSettings().linked)}." in text


def phrase_shown(phrase: Phrase) -> str:
    forms = (phrase,) if isinstance(phrase, str) else tuple(phrase.values())
    return " / ".join(f"`{form}`" for form in forms)


def test_the_settings_example_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recsvc.toml").write_text(blocks("docs/settings.md", "toml")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECSVC_PORT", raising=False)
    assert load_settings().port == 8080
    assert load_settings().events["view"] == EventSettings(weight=0.02, half_life_days=30)
    assert load_settings().text.you["bookmark"] == "you saved {items}"
    monkeypatch.setenv("RECSVC_PORT", "8081")
    monkeypatch.setenv("RECSVC_EVENTS__VIEW__WEIGHT", "0.03")
    assert load_settings().port == 8081
    assert load_settings().events["view"].weight == 0.03


def test_the_examples_of_a_part_of_the_settings_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, models, kind = blocks("docs/settings.md", "toml")
    (tmp_path / "recsvc.toml").write_text(models, encoding="utf-8")
    options = refresh_options(load_settings(), {})
    assert (options.models, options.validation_users) == (("lightgcn", "ridge"), 2000)
    assert options.options["lightgcn"]["dimensions"] == 128
    assert options.options["ridge"]["l2"] == 0.1
    (tmp_path / "recsvc.toml").write_text(kind, encoding="utf-8")
    assert load_settings().events["borrowed"] == EventSettings(weight=1)


def test_the_settings_of_content_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recsvc.toml").write_text(blocks("docs/models.md", "toml")[0], encoding="utf-8")
    options = refresh_options(load_settings(), {})
    assert options.models[-1] == "content"
    source = content_source({"hybrid": model_values(load_settings(), "hybrid", {})})
    assert source is not None
    assert source.items == ("title", "description")
    assert source.encoder_model == "/srv/models/all-MiniLM-L6-v2"
    assert content_source({"hybrid": {}, "walk3": {}}) is None
    alone = content_source({"content": model_values(load_settings(), "content", {"users": "bio"})})
    assert alone is not None
    assert alone.users == ("bio",)


def test_the_settings_of_kafka_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recsvc.toml").write_text(blocks("docs/streams.md", "toml")[0], encoding="utf-8")
    kafka = load_settings().kafka
    assert len(kafka.brokers) == 2
    assert (kafka.topics, kafka.username) == (("shop.events",), "recsvc")


def test_every_option_of_a_refresh_is_documented_with_its_default() -> None:
    check_table(section("docs/refresh.md", "Options"), defaults(RefreshOptions))


@pytest.mark.parametrize("page", ["README.md", "docs/explanations.md"])
def test_the_parts_of_the_example_add_up(page: str) -> None:
    answer = json.loads(blocks(page, "json")[0])
    explanation = answer["explanation"]
    if "signals" in answer:
        assert sum(answer["signals"].values()) == pytest.approx(answer["score"], rel=1e-4)
    if "remainder" in explanation:
        listed = sum(part["value"] for part in explanation["contributions"])
        assert listed + explanation["remainder"] == pytest.approx(answer["score"], rel=1e-4)
    assert "signals" in answer or "remainder" in explanation


def test_the_tables_of_the_readme_are_read(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(blocks("README.md", "csv")[0], encoding="utf-8")
    rejected: list[Any] = []
    graph = graph_from_tables(open_source(str(tmp_path)), rejected.append)
    assert not rejected
    assert list(graph.users) == ["anna"]
    assert len(graph.interactions) == 2


def test_the_rejected_rows_of_the_guide_are_written_so(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "follows.csv").write_text("follower_id,followee_id\nu,u\n", encoding="utf-8")
    rows = "user_id,item_id,value\nu,i,1\nu,j,1\nu,,1\nu,i,x\nu,i\n"
    (source / "interactions.csv").write_text(rows, encoding="utf-8")
    with Rejects(tmp_path / "rejects.csv") as rejects:
        graph_from_tables(open_source(str(source)), rejects.add)
    written = (tmp_path / "rejects.csv").read_text(encoding="utf-8").splitlines()
    assert sorted(written) == sorted(blocks("docs/tables.md", "csv")[0].splitlines())


def test_every_metapath_and_every_prefix_is_named() -> None:
    page = PAGES["docs/metapaths.md"]
    for query in catalogue().folder("metapaths"):
        assert f"| `{query.name.removeprefix('metapaths/')}` |" in page
    for prefix in _KIND_BY_PREFIX:
        assert f"`{prefix}`" in page
