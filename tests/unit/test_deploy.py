"""What stands in deploy/ is what the program has: commands, metrics, settings, times."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import typer
import yaml

from loaders.shared_files import checkout_root
from recsvc.answer import VariantUsed
from recsvc.cli import app
from recsvc.commands.serving import GRACE_SECONDS
from recsvc.graph.rows import ActiveVersion
from recsvc.refresh.process import REFUSED
from recsvc.refresh.schedule import crontab
from recsvc.service.app import create_app
from recsvc.settings import ChangeSettings, KafkaSettings, OutcomeSettings, Settings
from tests.conftest import key_ring
from tests.unit.service.fake_engine import FakeEngine
from tests.unit.service.fake_refresh import fake_refreshes

ROOT = checkout_root()
assert ROOT is not None
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
MANIFESTS = sorted((DEPLOY / "kubernetes").iterdir())
BOARD = json.loads((DEPLOY / "grafana" / "recsvc.json").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = [COMPOSE["services"][name] for name in ("serve", "refresh")]


def documents() -> list[dict[str, Any]]:
    return [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [each for each in documents() if each["kind"] == kind]


def unit(path: Path) -> configparser.ConfigParser:
    # A key such as Environment may stand twice.
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    parser.optionxform = str
    parser.read(path)
    return parser


def pods() -> list[dict[str, Any]]:
    (job,) = of_kind("CronJob")
    specs = [each["spec"]["template"]["spec"] for each in of_kind("Deployment")]
    return [*specs, job["spec"]["jobTemplate"]["spec"]["template"]["spec"]]


def containers() -> list[dict[str, Any]]:
    images = {service["image"] for service in OURS}
    return [each for pod in pods() for each in pod["containers"] if each["image"] in images]


def stages() -> dict[str, str]:
    """The instructions of each stage of the Dockerfile, by its name."""
    parts = re.split(r"^FROM \S+ AS (\w+)\n", (DEPLOY / "Dockerfile").read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def command_lines() -> Iterator[list[str]]:
    """Every recsvc command of deploy/ and docker-compose.yml, without its name."""
    for path in UNITS:
        if line := unit(path).get("Service", "ExecStart", fallback=None):
            program, *arguments = shlex.split(line)
            assert program == "/opt/recsvc/.venv/bin/recsvc"
            yield arguments
    for container in containers():
        yield container["args"]
    for service in OURS:
        yield service["command"]
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert json.loads(re.findall(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)[0]) == ["recsvc"]
    for line in re.findall(r"^CMD (.*)$", dockerfile, re.MULTILINE):
        yield json.loads(line)


def test_every_command_exists_with_its_options() -> None:
    group: Any = typer.main.get_command(app)
    found = list(command_lines())
    assert {line[0] for line in found} == {"serve", "refresh", "schedule", "consume", "publish"}
    assert len(found) == 10
    for name, *arguments in found:
        with group.commands[name].make_context(name, list(arguments)):
            pass  # it says what it does not know


def test_every_setting_exists() -> None:
    names = {f"RECSVC_{name.upper()}" for name in Settings.model_fields}
    used: set[str] = set()
    for path in (*UNITS, *MANIFESTS, DEPLOY / "Dockerfile"):
        used |= set(re.findall(r"RECSVC_\w+", path.read_text()))
    for service in OURS:
        used |= service["environment"].keys()
    for of, group in (("OUTCOMES", OutcomeSettings), ("KAFKA", KafkaSettings),
                      ("CHANGES", ChangeSettings)):  # fmt: skip
        names |= {f"RECSVC_{of}__{name.upper()}" for name in group.model_fields}
    assert used <= names
    assert {"RECSVC_HOME", "RECSVC_NEO4J_URI", "RECSVC_NEO4J_PASSWORD"} <= used


def test_every_time_is_read() -> None:
    (job,) = of_kind("CronJob")
    schedule = COMPOSE["services"]["refresh"]["command"]
    for line in (job["spec"]["schedule"], schedule[schedule.index("--cron") + 1]):
        due = crontab(line, UTC)(datetime(2026, 11, 23, tzinfo=UTC))
        assert (due.hour, due.minute) == (3, 0)


# --- systemd ----------------------------------------------------------------------------------


def test_the_timer_starts_the_refresh_and_makes_up_for_a_missed_one() -> None:
    timer = unit(DEPLOY / "systemd" / "recsvc-refresh.timer")
    assert timer["Timer"]["Persistent"] == "true"
    assert timer["Install"]["WantedBy"] == "timers.target"
    service = unit(DEPLOY / "systemd" / "recsvc-refresh.service")
    assert service["Service"]["Type"] == "oneshot"
    assert service["Service"]["KillSignal"] == "SIGINT"
    assert service["Service"]["TimeoutStartSec"] == "infinity"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        text = path.read_text().replace("/opt/recsvc/.venv/bin/recsvc", "/bin/true")
        (tmp_path / path.name).write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.M))
    paths = [str(tmp_path / path.name) for path in UNITS]
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    complaints = [line for line in verified.stderr.splitlines() if str(tmp_path) in line]
    assert not complaints, verified.stderr
    when = unit(DEPLOY / "systemd" / "recsvc-refresh.timer")["Timer"]["OnCalendar"]
    told = subprocess.run(
        ["systemd-analyze", "calendar", when], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert "03:00:00" in told.stdout


# --- Kubernetes, Compose, the image -----------------------------------------------------------


def test_refreshes_never_overlap_in_kubernetes() -> None:
    (job,) = of_kind("CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"


def test_the_parts_of_the_manifests_fit_together() -> None:
    (service,), (deployment,) = of_kind("Service"), of_kind("Deployment")
    template = deployment["spec"]["template"]
    for selector in (service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= template["metadata"]["labels"].items()
    ports = {p["name"] for c in template["spec"]["containers"] for p in c.get("ports", [])}
    assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports
    claims = {each["metadata"]["name"] for each in of_kind("PersistentVolumeClaim")}
    maps = {each["metadata"]["name"] for each in of_kind("ConfigMap")}
    assert len(containers()) == 2
    for pod in pods():
        volumes = {each["name"]: each for each in pod["volumes"]}
        mounted = {m["name"] for c in pod["containers"] for m in c["volumeMounts"]}
        assert mounted == volumes.keys()
        for volume in volumes.values():
            assert volume.get("persistentVolumeClaim", {}).get("claimName") in {None, *claims}
            assert volume.get("configMap", {}).get("name") in {None, *maps}


def test_the_state_is_where_the_image_keeps_it() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    home = re.findall(r"RECSVC_HOME=(\S+)", dockerfile)[0]
    for container in containers():
        assert home in [each["mountPath"] for each in container["volumeMounts"]]
    assert [each["target"] for service in OURS for each in service["volumes"]] == [home, home]
    (user,) = re.findall(r"--uid (\d+)", dockerfile)
    assert {pod["securityContext"]["runAsUser"] for pod in pods()} == {int(user)}


def test_the_service_runs_from_an_image_without_what_trains() -> None:
    both = stages()
    assert '".[train,otel]"' in both["train"]
    assert '".[kafka,oidc,otel]"' in both["serve"]
    assert "[train" not in both["base"] + both["serve"]
    images = {each["image"]: each["build"]["target"] for each in OURS}
    assert sorted(images.values()) == ["serve", "train"]
    needs = {"serve": "serve", "refresh": "train", "schedule": "train"}
    for image, arguments in [
        *((each["image"], each["command"]) for each in OURS),
        *((each["image"], each["args"]) for each in containers()),
    ]:
        assert images[image] == needs[arguments[0]], arguments
    for target in images.values():
        (command,) = re.findall(r"^CMD (.*)$", both[target], re.MULTILINE)
        assert needs[json.loads(command)[0]] == target


def test_the_base_of_the_images_is_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])
    assert set(bases[1:]) == {"base"}


def test_everything_comes_back_after_a_restart_and_nothing_of_ours_is_root() -> None:
    assert {each["restart"] for each in COMPOSE["services"].values()} == {"unless-stopped"}
    for each in OURS:
        assert "user" not in each  # the user of the image, who is not root
        assert (each["cap_drop"], each["read_only"]) == (["ALL"], True)
        assert each["security_opt"] == ["no-new-privileges:true"]
        (state,) = each["volumes"]
        assert state["type"] == "volume"
        assert state["source"] in COMPOSE["volumes"]
    assert all(re.search(r"^USER recsvc$", stages()[name], re.M) for name in ("serve", "train"))


def test_pods_keep_to_the_restricted_profile() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "/tmp" in [each["mountPath"] for each in container["volumeMounts"]]


def test_a_refused_version_is_not_made_again_at_once() -> None:
    (job,) = of_kind("CronJob")
    spec = job["spec"]["jobTemplate"]["spec"]
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert REFUSED in rule["onExitCodes"]["values"]
    (container,) = spec["template"]["spec"]["containers"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # else the policy is refused


def test_a_pod_of_the_service_is_drained() -> None:
    (deployment,) = of_kind("Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    _, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert int(seconds) + GRACE_SECONDS < pod["terminationGracePeriodSeconds"]


def test_what_is_compiled_has_a_place_under_systemd() -> None:
    for path in UNITS:
        if path.suffix != ".service":
            continue
        section = unit(path)["Service"]
        assert section["ProtectSystem"] == "strict"
        cache = dict(each.split("=") for each in section["Environment"].split())["NUMBA_CACHE_DIR"]
        assert cache == f"/var/cache/{section['CacheDirectory']}"
        assert section["UMask"] == "0077"


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    copied = {
        source for line in re.findall(r"^COPY (.*)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    }  # fmt: skip
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / source).exists() for source in copied)


def test_what_others_reach_asks_for_keys() -> None:
    """Whoever listens on more than loopback: the settings say so, and the keys are there."""
    (deployment,) = of_kind("Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    (keys,) = [each for each in container["volumeMounts"] if each["name"] == "keys"]
    assert environment["RECSVC_KEYS_FILE"] == f"{keys['mountPath']}/keys.json"
    for host in (environment["RECSVC_HOST"], OURS[0]["environment"]["RECSVC_HOST"]):
        assert not Settings(host=host).host.is_loopback
    assert [port.split(":")[0] for port in OURS[0]["ports"]] == ["127.0.0.1"]


def test_probes_ask_addresses_that_exist(tmp_path: Path) -> None:
    service = create_app(
        FakeEngine().engine, refreshes=fake_refreshes(tmp_path), keys=key_ring(tmp_path)
    )
    (container,) = of_kind("Deployment")[0]["spec"]["template"]["spec"]["containers"]
    probes = [value["httpGet"] for name, value in container.items() if name.endswith("Probe")]
    asked = {each["path"] for each in probes}
    assert asked == {"/health/live", "/health/ready"}
    assert {each["port"] for each in probes} == {each["name"] for each in container["ports"]}
    scrapes = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (scrape,) = scrapes["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": [f"127.0.0.1:{Settings().port}"]}]
    assert asked | {scrape["metrics_path"]} <= service.openapi()["paths"].keys()
    structlog.reset_defaults()


# --- Grafana ----------------------------------------------------------------------------------


async def exposed(tmp_path: Path) -> dict[str, set[str]]:
    """Labels by name of every metric, with something to tell about each."""
    fake = FakeEngine(degraded=("paths",))
    version = ActiveVersion("hybrid", 3, None, "ab", datetime.now(UTC), {"ndcg@20": 0.2}, 42.0)
    fake.active_versions = {"hybrid": version}
    service = create_app(fake.engine, refreshes=fake_refreshes(tmp_path), keys=key_ring(tmp_path))
    service.state.metrics.observe_kept(kept=True)
    service.state.metrics.observe_outcomes(["click"])
    service.state.metrics.observe_variant(VariantUsed("blend", "now", 1))
    transport = httpx.ASGITransport(app=service)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        await client.get("/v1/users/2/recommendations")
        text = (await client.get("/metrics")).text
    structlog.reset_defaults()
    lines = re.findall(r"^(recsvc_\w+)(?:{(.*)})? \S+$", text, re.MULTILINE)
    return {name: set(re.findall(r'(\w+)="', labels)) for name, labels in lines}


def expressions() -> list[str]:
    targets = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    variables = [each["query"]["query"] for each in BOARD["templating"]["list"][1:]]
    return [*targets, *variables, *(each["expr"] for each in BOARD["annotations"]["list"])]


async def test_the_board_asks_for_metrics_and_labels_that_exist(tmp_path: Path) -> None:
    metrics = await exposed(tmp_path)
    for expression in expressions():
        names = re.findall(r"recsvc_\w+", expression)
        assert names
        assert set(names) <= metrics.keys(), expression
        labels = set(re.findall(r'(\w+)=~?"', expression))
        for group in re.findall(r"by \(([\w, ]+)\)", expression):
            labels |= {each.strip() for each in group.split(",")}
        known = set().union(*(metrics[name] for name in names))
        assert labels - {"job"} <= known, expression
        assert expression.count("(") == expression.count(")")


async def test_the_board_shows_every_metric(tmp_path: Path) -> None:
    shown = " ".join(expressions())
    for name in await exposed(tmp_path):
        family = re.sub(r"_(bucket|count|sum|created)$", "", name)
        if not name.endswith("_created"):
            assert family in shown, name


def test_the_panels_do_not_cover_each_other() -> None:
    places: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}  # fmt: skip
        assert at["x"] + at["w"] <= 24
        assert not cells & places, panel["title"]
        places |= cells
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    routes = {r for e in expressions() for r in re.findall(r'route="([^"]+)"', e)}
    assert routes == {"/v1/users/{user_id}/recommendations"}
