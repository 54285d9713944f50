import traceback
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from pydantic import ValidationError

from loaders.errors import Neo4jUnavailableError
from loaders.gateway import Neo4jAddress, Neo4jGateway
from recsvc.commands.serving import require_keys, require_shard_key
from recsvc.errors import SettingsError
from recsvc.event_kinds import default_events, kind_key
from recsvc.settings import EventSettings, Settings, load_settings
from recsvc.settings_file import write_event_weights
from tests.conftest import recsvc

SECRET = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and no setting in the environment."""
    import os

    for name in list(os.environ):
        if name.startswith("RECSVC_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert (settings.port, settings.bolt_port, settings.http_port) == (8000, 7687, 7474)
    assert settings.home.name == ".recsvc"
    assert settings.neo4j_uri is None
    weights = {name: event.weight for name, event in settings.events.items()}
    assert weights["view"] == 0.01
    assert weights["cart"] == 0.1
    assert weights["remove_from_cart"] == -0.19
    assert weights["purchase"] == 1.0


def test_environment_is_read(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("RECSVC_HOME", str(folder / "state"))
    monkeypatch.setenv("RECSVC_PORT", "9001")
    monkeypatch.setenv("RECSVC_NEO4J_PASSWORD", SECRET)
    settings = load_settings()
    assert settings.home == folder / "state"
    assert settings.port == 9001
    assert settings.neo4j_password is not None
    assert settings.neo4j_password.get_secret_value() == SECRET
    assert SECRET not in repr(settings) + str(settings.model_dump())


def test_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "recsvc.toml").write_text(
        "port = 9002\nbolt_port = 9003\n[events.skip]\nweight = -0.5\nhalf_life_days = 7\n"
    )
    monkeypatch.setenv("RECSVC_PORT", "9001")
    settings = load_settings()
    assert (settings.port, settings.bolt_port) == (9001, 9003)
    assert settings.events["skip"] == EventSettings(weight=-0.5, half_life_days=7.0)


def test_one_event_named_in_the_environment_leaves_the_other_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = load_settings().events
    monkeypatch.setenv("RECSVC_EVENTS__VIEW__WEIGHT", "0.02")
    after = load_settings().events
    assert after["view"].weight == 0.02
    assert {k: v for k, v in after.items() if k != "view"} == {
        k: v for k, v in before.items() if k != "view"
    }


@pytest.mark.parametrize("where", ["environment", "file"])
def test_one_field_of_an_event_leaves_its_other_fields(
    monkeypatch: pytest.MonkeyPatch, folder: Path, where: str
) -> None:
    if where == "file":
        (folder / "recsvc.toml").write_text("[events.remove_from_cart]\nhalf_life_days = 30\n")
    else:
        monkeypatch.setenv("RECSVC_EVENTS__REMOVE_FROM_CART__HALF_LIFE_DAYS", "30")
    assert load_settings().events["remove_from_cart"] == EventSettings(
        weight=-0.19, half_life_days=30.0
    )


def test_a_kind_is_named_in_any_spelling(folder: Path) -> None:
    (folder / "recsvc.toml").write_text('[events."Add-To-Cart"]\nhalf_life_days = 3\n')
    events = load_settings().events
    assert events["add_to_cart"] == EventSettings(weight=0.1, half_life_days=3.0)
    assert "Add-To-Cart" not in events


def test_a_kind_named_twice_is_refused(folder: Path) -> None:
    (folder / "recsvc.toml").write_text("[events.BUY]\nweight = 1\n[events.b-u-y]\nweight = 2\n")
    with pytest.raises(SettingsError, match="'BUY' and 'b-u-y' are the same kind of event"):
        load_settings()


def test_no_default_kind_is_named_twice() -> None:
    keys = [kind_key(name) for name in default_events()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("variable", "value", "setting"),
    [
        ("RECSVC_PORT", "0", "port"),
        ("RECSVC_PORT", "many", "port"),
        ("RECSVC_REQUEST_TIMEOUT_SECONDS", "-1", "request_timeout_seconds"),
        ("RECSVC_EVENTS__VIEW__WEIGHT", "101", "events.view.weight"),
        ("RECSVC_EVENTS__VIEW__HALF_LIFE_DAYS", "0", "events.view.half_life_days"),
    ],
)
def test_error_names_the_setting_and_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, setting: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("RECSVC_NEO4J_PASSWORD", SECRET)
    with pytest.raises(SettingsError, match=rf"setting '{setting}'.*\({variable}\)") as caught:
        load_settings()
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_unknown_setting_in_the_file_is_named_and_its_value_not_shown(folder: Path) -> None:
    (folder / "recsvc.toml").write_text(f"neo4j_pasword = '{SECRET}'\n")
    with pytest.raises(SettingsError, match="'neo4j_pasword'") as caught:
        load_settings()
    assert SECRET not in str(caught.value)


def test_secret_of_a_wrong_type_is_not_shown(folder: Path) -> None:
    (folder / "recsvc.toml").write_text(f"neo4j_password = ['{SECRET}']\n")
    with pytest.raises(SettingsError, match="'neo4j_password'") as caught:
        load_settings()
    assert SECRET not in str(caught.value)


def test_file_that_is_no_toml_is_a_settings_error(folder: Path) -> None:
    (folder / "recsvc.toml").write_text("port = = 1\n")
    with pytest.raises(SettingsError, match=r"recsvc\.toml"):
        load_settings()


@pytest.mark.parametrize(("encoding", "line"), [("latin-1", 2), ("utf-16", 1)])
def test_a_file_that_is_not_utf_8_is_said(folder: Path, encoding: str, line: int) -> None:
    (folder / "recsvc.toml").write_text("port = 9001\n# für alle\n", encoding=encoding)
    with pytest.raises(SettingsError, match=rf"recsvc\.toml is not UTF-8 in line {line}:"):
        load_settings()
    with pytest.raises(SettingsError, match=rf"recsvc\.toml is not UTF-8 in line {line}:"):
        write_event_weights({"borrowed": 1.0})


def test_a_file_with_the_mark_of_utf_8_is_read(folder: Path) -> None:
    (folder / "recsvc.toml").write_text("port = 9001\n", encoding="utf-8-sig")
    write_event_weights({"borrowed": 1.0})
    assert load_settings().port == 9001
    assert load_settings().events["borrowed"].weight == 1.0


def test_an_empty_variable_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "PORT", "NEO4J_URI", "NEO4J_PASSWORD"):
        monkeypatch.setenv(f"RECSVC_{name}", "")
    settings = load_settings()
    assert (settings.port, settings.neo4j_uri, settings.neo4j_password) == (8000, None, None)
    assert settings.home.name == ".recsvc"


def test_events_that_are_no_json_are_a_settings_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSVC_EVENTS", "view=1")
    with pytest.raises(SettingsError, match="events"):
        load_settings()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1


@pytest.mark.parametrize(
    "uri",
    ["bolt://neo4j:SECRET@host", "neo4j+s://SECRET@host:7687", "neo4j:SECRET@host",
     "bolt://neo4j:SECRET@host:7687/?x=@", "bolt://a:SECRET%40@[::1]",
     "bolt://127.0.0.1:1/?password=SECRET", "bolt://host:1?SECRET", "bolt://host:SECRET",
     "bolt://host:1/SECRET", "neo4j://host:1/#SECRET", "bolt://host:1#SECRET", "SECRET",
     "SECRET://host", "bolt://[SECRET", "bolt://", "neo4j://host?SECRET", "neo4j://host?address=SECRET",
     "neo4j://host?a=SECRET&a=1", "bolt:host:SECRET", "bolt://host:0/?SECRET"],
)  # fmt: skip
def test_an_address_with_a_password_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("RECSVC_NEO4J_URI", uri)
    with pytest.raises(SettingsError, match="RECSVC_NEO4J_PASSWORD") as caught:
        load_settings()
    shown = "".join(traceback.format_exception(caught.value))
    assert "SECRET" not in shown
    with pytest.raises(ValidationError) as raised:
        Settings(neo4j_uri=uri)
    assert "SECRET" not in str(raised.value)
    with pytest.raises(Neo4jUnavailableError) as refused:
        Neo4jAddress(uri, "neo4j", "")
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("uri", ["neo4j://h:7687/?policy=SECRET", "neo4j+s://h?a=SECRET&b=1"])
def test_a_routing_context_is_taken_and_not_shown(uri: str) -> None:
    address = Neo4jAddress(Settings(neo4j_uri=uri).neo4j_uri or "", "neo4j", "")
    assert address.uri == uri
    assert "SECRET" not in address.shown + repr(address)
    with pytest.raises(Neo4jUnavailableError) as raised, Neo4jGateway(address):
        pytest.fail("it is there")
    assert "SECRET" not in "".join(traceback.format_exception(raised.value))


def test_the_address_of_mlflow_is_shown_without_secrets() -> None:
    from recsvc.training import mlflow as tracking

    assert tracking._without_secrets("http://a:SECRET@host/x y@z") == "http://…@host/x y@z"
    assert tracking._without_secrets("'http://host/x?key=SECRET': no") == "'http://host/x?…': no"


@pytest.mark.parametrize(
    "issuer",
    [
        "http://issuer.example",
        "https://user:hunter2@issuer.example",
        "https://",
        "https://[issuer",
        "ftp://127.0.0.1",
        "https://issuer.example/#a",
        "issuer.example",
    ],
)
def test_an_issuer_that_anybody_on_the_way_could_speak_for(
    monkeypatch: pytest.MonkeyPatch, issuer: str
) -> None:
    monkeypatch.setenv("RECSVC_OIDC__AUDIENCE", "recsvc")
    for right in ("https://issuer.example/realms/a", "http://127.0.0.1:8080", "http://[::1]/"):
        monkeypatch.setenv("RECSVC_OIDC__ISSUER", right)
        assert load_settings().oidc is not None
    monkeypatch.setenv("RECSVC_OIDC__ISSUER", issuer)
    with pytest.raises(SettingsError, match=r"oidc\.issuer") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


def test_scopes_of_an_issuer_are_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSVC_OIDC__ISSUER", "https://issuer.example")
    with pytest.raises(SettingsError, match=r"oidc\.audience"):
        load_settings()
    monkeypatch.setenv("RECSVC_OIDC__AUDIENCE", "recsvc")
    monkeypatch.setenv("RECSVC_OIDC__SCOPES", '{"a": "read", "b": "owner"}')
    with pytest.raises(SettingsError, match=r"oidc\.scopes\.b"):
        load_settings()
    monkeypatch.setenv("RECSVC_OIDC__SCOPES", '{"a": "read"}')
    settings = load_settings()
    assert settings.oidc is not None
    assert settings.oidc.scopes == {"a": "read"}
    require_keys(settings.model_copy(update={"host": IPv4Address("0.0.0.0")}))
    with pytest.raises(SettingsError, match="no API key"):
        require_keys(settings.model_copy(update={"host": IPv4Address("0.0.0.0"), "oidc": None}))


def test_a_shard_that_others_reach_wants_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    require_shard_key(load_settings())
    monkeypatch.setenv("RECSVC_HOST", "0.0.0.0")
    with pytest.raises(SettingsError, match="RECSVC_SHARD_KEY"):
        require_shard_key(load_settings())
    monkeypatch.setenv("RECSVC_SHARD_KEY", SECRET)
    with pytest.raises(SettingsError, match=r"shard_key.*at least 16") as told:
        load_settings()
    assert SECRET not in str(told.value)
    monkeypatch.setenv("RECSVC_SHARD_KEY", SECRET * 2)
    settings = load_settings()
    require_shard_key(settings)
    assert SECRET not in repr(settings)


def test_shards_are_addresses_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSVC_SHARDS", "http://b:8000, http://a:8001")
    assert load_settings().shards == ("http://b:8000", "http://a:8001")
    for wrong in ("http://b:8000/path", "b:8000", ",".join(["http://b:1"] * 65)):
        monkeypatch.setenv("RECSVC_SHARDS", wrong)
        with pytest.raises(SettingsError, match="shards"):
            load_settings()


@pytest.mark.parametrize(
    "arguments",
    ["--shard 0/2", "--shard 3/2", "--shard 2", "--shard 1/65", "--shard 1/2 --workers 2"],
)
def test_a_shard_has_a_number_and_is_one_process(arguments: str) -> None:
    done = recsvc("serve", *arguments.split())
    assert done.returncode == 2
    assert "I/N" in done.stderr or "one process" in done.stderr
