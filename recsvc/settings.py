"""All reading of the environment and of `recsvc.toml`."""

import re
import tomllib
from difflib import get_close_matches
from importlib.resources.abc import Traversable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic_settings
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyAddress,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from loaders.addresses import check_address, check_confidential
from loaders.graph_map import GraphMap
from loaders.shared_files import checkout_root
from recsvc.errors import SettingsError
from recsvc.event_kinds import EventSettings, default_events, merged_events
from recsvc.phrases import TextSettings

Port = Annotated[int, Field(ge=1, le=65535)]
_ORIGIN = re.compile(r"https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_COLLECTOR = re.compile(_ORIGIN.pattern + r"(/[\w.~/-]*)?", re.ASCII)
_COLLECTORS = "an address such as http://127.0.0.1:4318, without a log-in and anything after a ?"
_SHARDS = "an address such as http://10.0.0.7:8000, without a path"
MAX_SHARDS = 64
"""Most shards of one service."""
_PUBLIC = re.compile(_ORIGIN.pattern + r"(/[\w.~-]+)*", re.ASCII)
_PUBLICS = "an address such as https://shop.example/recsvc, without a slash at its end"
MAX_LINK_HOURS = 8760
"""The longest that the link of a person lasts: a year."""
_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


def _listed(names: object) -> object:
    """A list, or text with commas between, as an environment has it."""
    if isinstance(names, str):
        return [name.strip().lower() for name in names.split(",") if name.strip()]
    return names


def _of_form(form: re.Pattern[str], expected: str) -> AfterValidator:
    def checked(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError(f"expected {expected}")
        return text

    return AfterValidator(checked)


_HostName = Annotated[
    str, _of_form(_HOST, "a name such as api.example.org or *.example.org, without a port")
]
HostNames = Annotated[tuple[_HostName, ...], BeforeValidator(_listed), NoDecode]
"""Names by which the service may be asked."""


_Origin = Annotated[
    str, _of_form(_ORIGIN, "an origin such as https://shop.example, without a path")
]
Origins = Annotated[tuple[_Origin, ...], BeforeValidator(_listed), NoDecode]
"""Sites, as a browser names them."""


class TrackingSettings(BaseModel):
    """Where training runs are tracked besides their own folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mlflow_uri: str | None = None
    """Tracking URI of MLflow. Unset: runs are not tracked."""


class OutcomeSettings(BaseModel):
    """What followed answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    keep_days: int = Field(default=90, ge=1, le=3650)
    """How long outcomes are kept, in days. A refresh deletes older ones, and so does `recsvc
    outcomes prune`."""
    fatigue: float = Field(default=0.0, ge=0.0, le=100.0)
    """How much an item loses that was shown to a user again and again and not acted on, in units of
    the spread of their best scores. 0: nothing, and nothing is read for it."""
    fatigue_half_life_days: float = Field(default=7.0, gt=0.0, le=365.0)
    """After how many days having been shown counts half."""
    secret: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Under which the ids of answers are signed, 16 characters or more: the same for all services
    of one graph. Unset: made once and kept in `RECSVC_HOME/recommendation_ids`."""


class OidcSettings(BaseModel):
    """Whose tokens are taken besides API keys, and what they allow."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: Annotated[str, AfterValidator(check_confidential)]
    """The issuer, as its discovery document and the claim `iss` of its tokens name it."""
    audience: str = Field(min_length=1)
    """The name of this service that the claim `aud` of a token has to hold."""
    scope_claim: str = Field(default="scope", min_length=1)
    """The claim that says what a token is for; with dots between, one inside another."""
    scopes: dict[str, Literal["read", "write", "admin"]] = Field(
        default_factory=lambda: {f"recsvc:{scope}": scope for scope in ("read", "write", "admin")},
        min_length=1,
    )
    """Which of our scopes each of the issuer's is. Of several that a token has, the widest."""
    user_claim: str | None = Field(default=None, min_length=1)
    """The claim that holds a user's id, which is all that a token for reading or writing may ask
    about then. Unset: a token may ask about everybody."""


_BROKER = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?", re.ASCII)
_TOPIC = re.compile(r"[\w.-]{1,249}", re.ASCII)


def _split(names: object) -> object:
    """A list, or text with commas between, as an environment has it."""
    if isinstance(names, str):
        return [name.strip() for name in names.split(",") if name.strip()]
    return names


_Broker = Annotated[str, _of_form(_BROKER, "a broker such as kafka.example.org:9092")]
Topic = Annotated[
    str, _of_form(_TOPIC, "a topic: 1 to 249 letters, digits, dots, hyphens and underscores")
]
"""The name of a topic."""


class ChangeSettings(BaseModel):
    """The feed of changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_days: int = Field(default=0, ge=0, le=3650)
    """How long changes are kept, in days; a refresh deletes older ones. 0: none are."""


class KafkaSettings(BaseModel):
    """Which Kafka events are read from."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    brokers: Annotated[tuple[_Broker, ...], BeforeValidator(_split), NoDecode] = ()
    """Brokers to ask first, with commas between, such as `kafka.example.org:9092`."""
    topics: Annotated[tuple[Topic, ...], BeforeValidator(_split), NoDecode] = ()
    """Topics that hold events, with commas between."""
    group: str = Field(default="recsvc", min_length=1)
    """The consumer group: all processes of one group share the partitions."""
    dead_letter_topic: Topic = "recsvc.dead-letters"
    """Where messages go that cannot be stored, with the reason."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to connect: `SSL` is TLS, `SASL_…` logs in."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How to log in."""
    username: str | None = None
    """User name of the log-in."""
    password: SecretStr | None = None
    """Its password."""
    ca_file: Path | None = None
    """Certificates, in PEM, that sign those of the brokers. Unset: those of the system."""
    certificate_file: Path | None = None
    """The certificate of this client, in PEM, where the brokers ask for one."""
    key_file: Path | None = None
    """Its key. Unset: it is in `certificate_file`."""
    key_password: SecretStr | None = None
    """The password of that key."""


SETTINGS_FILE = "recsvc.toml"
"""The file of settings, in the folder where a command is started."""


class _SettingsFile(TomlConfigSettingsSource):
    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        return tomllib.loads(read_settings_text(Path(str(file_path))))


def read_settings_text(path: Path) -> str:
    """The text of a file of settings, without the mark with which some editors begin one.

    Raises:
        SettingsError: it is not UTF-8.
        OSError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise SettingsError(f"{path} is not UTF-8 in line {line}: save it as UTF-8") from None


class Settings(BaseSettings):
    """Every setting, from `RECSVC_…` in the environment, else from `recsvc.toml`.

    In the environment a nested value is written `RECSVC_EVENTS__VIEW__WEIGHT=0.02`. An
    empty variable is as one that is not set.
    """

    model_config = SettingsConfigDict(
        env_prefix="RECSVC_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        toml_file=SETTINGS_FILE,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(default_factory=lambda: (checkout_root() or Path.cwd()) / ".recsvc")
    """The one folder that holds all state; removing it starts afresh."""
    neo4j_uri: Annotated[str, AfterValidator(check_address)] | None = None
    """Address of a Neo4j. Unset: the one on this machine, started by `recsvc db up`."""
    neo4j_user: str = "neo4j"
    """User name at Neo4j."""
    neo4j_password: SecretStr | None = None
    """Password at Neo4j. Unset for the local one: made up at its first start and kept in
    `RECSVC_HOME/neo4j/password`."""
    neo4j_database: str | None = None
    """Database name; unset, the user's home database."""
    neo4j_version: str = "5.26"
    """Line of the local Neo4j: 5.26, which runs on Java 17, or 2026, which wants Java 21."""
    neo4j_heap_megabytes: int = Field(default=1024, ge=256)
    """Java heap of the local Neo4j, in MiB."""
    neo4j_page_cache_megabytes: int = Field(default=512, ge=64)
    """Page cache of the local Neo4j, in MiB."""
    neo4j_start_timeout_seconds: float = Field(default=180.0, gt=0.0)
    """How long the local Neo4j may take to start."""
    host: IPvAnyAddress = IPv4Address("127.0.0.1")
    """Address that the HTTP service listens on. Any but a loopback one needs API keys."""
    port: Port = 8000
    """Port of the HTTP service."""
    allowed_hosts: HostNames = ()
    """Names by which the service may be asked besides localhost and addresses, with commas between;
    `*.example.org` is every name below example.org."""
    cors_origins: Origins = ()
    """Origins of other sites whose pages may ask the service, with commas between, such as
    `https://shop.example`."""
    public_address: Annotated[str, _of_form(_PUBLIC, _PUBLICS)] | None = None
    """Address by which people reach the service, such as `https://shop.example/recsvc`: links of
    persons begin with it. Unset: `http://`, `host` and `port`."""
    person_link_hours: int = Field(default=72, ge=1, le=MAX_LINK_HOURS)
    """How long the link of a person opens something, where `recsvc person-link` is not told."""
    keys_file: Path | None = None
    """The file with the API keys. Unset: `RECSVC_HOME/keys.json`."""
    oidc: OidcSettings | None = None
    """Whose tokens are taken besides API keys. Unset: nobody's."""
    max_connections: int = Field(default=500, ge=1)
    """Most connections to one process of the HTTP service at a time; more are answered 503."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Most requests of one API key, or of one subject of tokens, in a minute, as each process
    counts them. Unset: no limit."""
    otlp_endpoint: Annotated[str, _of_form(_COLLECTOR, _COLLECTORS)] | None = None
    """Address of a collector of OpenTelemetry, which takes OTLP over HTTP. Unset: no spans."""
    bolt_port: Port = 7687
    """Bolt port of the local Neo4j."""
    http_port: Port = 7474
    """Port of Neo4j Browser."""
    request_timeout_seconds: float = Field(default=2.0, gt=0.0, le=60.0)
    """Deadline of everything that a request reads in Neo4j, together."""
    shards: Annotated[
        tuple[Annotated[str, _of_form(_ORIGIN, _SHARDS)], ...], BeforeValidator(_listed), NoDecode
    ] = Field(default=(), max_length=MAX_SHARDS)
    """Addresses of the shards that hold the items, in the order of their numbers, with commas
    between. Unset: each process of the service holds all items."""
    shard_key: Annotated[SecretStr, Field(min_length=16)] | None = None
    """What a shard wants to be told by the service, 16 characters or more: the same for all of
    them. Unset: shards listen on loopback alone."""
    write_timeout_seconds: float = Field(default=10.0, gt=0.0, le=600.0)
    """Deadline of each write; never shorter than `request_timeout_seconds`."""
    refresh_lease_seconds: float = Field(default=60.0, ge=1.0, le=3600.0)
    """How long a refresh that gives no sign of life keeps others out."""
    max_evidence: int = Field(default=1000, ge=1, le=10_000)
    """Newest pieces of evidence read for one user, of each kind."""
    answer_cache_seconds: float = Field(default=5.0, ge=0.0, le=3600.0)
    """How long an answer may be served again. A write through the service that may change it ends
    that at once; one that goes past it, such as Cypher by hand, is seen when the time is over. 0:
    not at all."""
    answer_cache_megabytes: int = Field(default=64, ge=1)
    """Most that the answers kept by one process take, in MiB."""
    refresh: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Options of a refresh."""
    models: dict[str, dict[str, Any]] = Field(default_factory=dict[str, dict[str, Any]])
    """Options of models, by model: for `recsvc refresh`, `train` and `evaluate`."""
    tracking: TrackingSettings = Field(default_factory=TrackingSettings)
    """Where training runs are tracked."""
    events: dict[str, EventSettings] = Field(default_factory=default_events)
    """Kinds of events, compared without case, `-`, `_` and spaces. A kind that is not named here
    counts nothing. Naming one leaves the others, and what is not said of this one, as they are."""
    outcomes: OutcomeSettings = Field(default_factory=OutcomeSettings)
    """What followed answers."""
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    """Which Kafka events are read from."""
    changes: ChangeSettings = Field(default_factory=ChangeSettings)
    """The feed of changes."""
    graph: GraphMap | None = None
    """How the graph of somebody else maps to ours. Unset: it is in our form."""
    text: TextSettings = Field(default_factory=TextSettings)
    """What the sentence of an explanation is put together from."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over `recsvc.toml`."""
        return (init_settings, env_settings, _SettingsFile(settings_cls))


def _no_such_setting(where: str) -> str:
    """What is said of a name that is no setting; in the environment only nested ones are read."""
    first, *rest = where.split(".")
    nested: dict[str, type[BaseModel]] = {
        "events": EventSettings,
        "text": TextSettings,
        "tracking": TrackingSettings,
        "outcomes": OutcomeSettings,
        "oidc": OidcSettings,
        "kafka": KafkaSettings,
        "changes": ChangeSettings,
    }
    names = nested[first].model_fields if rest and first in nested else Settings.model_fields
    near = get_close_matches((first, *rest)[-1], names, 1)
    meant = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(names)}."
    variable = f" (or the variable RECSVC_{where.upper().replace('.', '__')})" if rest else ""
    return f"there is no setting {where!r}: {meant} Correct it in recsvc.toml{variable}"


def load_settings() -> Settings:
    """Read and check all settings.

    Raises:
        SettingsError: a value cannot be used; the message names it.
    """
    try:
        settings = Settings()
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"recsvc.toml is not TOML: {error}: correct it") from None
    except pydantic_settings.SettingsError as error:
        raise SettingsError(
            f"{error}: expected JSON, or one variable for each value, such as "
            "RECSVC_EVENTS__VIEW__WEIGHT=0.02"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise SettingsError(_no_such_setting(where)) from None
        raise SettingsError(
            f"setting {where!r}: {first['msg']}: correct it in the environment "
            f"(RECSVC_{where.upper().replace('.', '__')}) or in recsvc.toml"
        ) from None
    try:
        events = merged_events(settings.events)
    except ValueError as error:
        raise SettingsError(f"setting 'events': {error}") from None
    return settings.model_copy(update={"events": events})
