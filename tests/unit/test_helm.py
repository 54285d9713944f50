"""The chart: what it takes, what it makes of that, and that both are what the program has."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from loaders.shared_files import checkout_root
from recsvc.settings import Settings
from tests.unit.test_deploy import exposed, of_kind, pods

ROOT = checkout_root()
assert ROOT is not None
CHART = ROOT / "deploy" / "helm" / "recsvc"
MANIFEST = ROOT / "deploy" / "kubernetes" / "recsvc.yaml"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = sorted((CHART / "templates").iterdir())
HELM = shutil.which("helm") or shutil.which("helm", path=str(Path.home() / "go" / "bin"))
needs_helm = pytest.mark.skipif(
    HELM is None, reason="helm is not here: go install helm.sh/helm/v3/cmd/helm@v3.22.0"
)

OF_THE_CHART = {"home", "host", "port", "keys_file", "allowed_hosts", "neo4j_uri", "neo4j_password"}
"""What it sets itself, or takes from the secret."""
OF_SHARDS = {"shards", "shard_key"}
"""The chart has no shards."""
OF_THE_LOCAL_NEO4J = {
    "neo4j_version", "neo4j_heap_megabytes", "neo4j_page_cache_megabytes",
    "neo4j_start_timeout_seconds", "bolt_port", "http_port",
}  # fmt: skip


def with_changes(changes: dict[str, Any]) -> dict[str, Any]:
    """The chart's values with others over them, as helm lays them over each other."""

    def over(below: Any, above: Any) -> Any:
        if not isinstance(below, dict) or not isinstance(above, dict):
            return above
        return below | {name: over(below.get(name), value) for name, value in above.items()}

    return over(VALUES, changes)


# --- values -----------------------------------------------------------------------------------


def test_the_values_keep_to_their_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA, jsonschema.Draft7Validator)


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"neo4j_database": "shop", "outcomes__keep_days": "30"}},
        {"settings": {"oidc__issuer": "https://issuer.example", "changes__keep_days": "7"}},
        {"settings": {"otlp_endpoint": "http://collector:4318", "events__view__weight": "0.02"}},
        {"autoscaling": {"enabled": True, "latency": "100m"}},
        {"disruption": {"maxUnavailable": "25%"}},
        {"service": {"hosts": ["api.example.org", "*.shop.example"]}},
    ],
)
def test_values_that_are_meant_are_taken(changes: dict[str, Any]) -> None:
    jsonschema.validate(with_changes(changes), SCHEMA, jsonschema.Draft7Validator)


REFUSED = [
    {"settings": {"neo4j_password": "hunter2"}},
    {"settings": {"outcomes__secret": "hunter2"}},
    {"settings": {"kafka__password": "hunter2"}},
    {"settings": {"kafka__key_password": "hunter2"}},
    {"settings": {"host": "0.0.0.0"}},
    {"settings": {"no_such_setting": "1"}},
    {"settings": {"max_evidence": 1000000}},
    {"service": {"workers": 65}},
    {"service": {"replica": 3}},
    {"autoscaling": {"latency": "fast"}},
    {"disruption": {"maxUnavailable": 0}},
    {"consume": {"replicas": -1}},
    {"publish": {"topic": "a topic"}},
    {"secret": "Not A Name"},
    {"password": "hunter2"},
]


@pytest.mark.parametrize("changes", REFUSED)
def test_values_that_are_not_meant_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(with_changes(changes), SCHEMA, jsonschema.Draft7Validator)


def test_every_setting_can_be_set_or_is_set() -> None:
    plain, nested = SCHEMA["properties"]["settings"]["propertyNames"]["anyOf"]
    groups = re.findall(r"\w+", nested["pattern"].partition("__")[0])
    known = [*plain["enum"], *groups, *OF_THE_CHART, *OF_SHARDS, *OF_THE_LOCAL_NEO4J]
    assert sorted(known) == sorted(Settings.model_fields)


def test_templates_use_the_values_that_are_there_and_all_of_them() -> None:
    def leaves(values: Any, path: str = "") -> set[str]:
        if not isinstance(values, dict) or not values or path.endswith(".resources"):
            return {path}
        return set().union(*(leaves(value, f"{path}.{name}") for name, value in values.items()))

    text = "".join(path.read_text() for path in TEMPLATES)
    assert set(re.findall(r"\.Values((?:\.\w+)+)", text)) == leaves(VALUES)


# --- what is made -----------------------------------------------------------------------------


def test_secrets_are_named_and_never_written() -> None:
    for pod in pods():
        for variable in pod["containers"][0]["env"]:
            if re.search("PASSWORD|SECRET|URI", variable["name"]):
                assert variable["valueFrom"]["secretKeyRef"]["name"] == VALUES["secret"]
            else:
                assert "value" in variable


def test_pods_have_no_variables_of_services_and_no_account() -> None:
    """A service named recsvc has Kubernetes set RECSVC_PORT to an address: no port of ours."""
    assert len(pods()) == 2
    for pod in pods():
        assert (pod["enableServiceLinks"], pod["automountServiceAccountToken"]) == (False, False)


def test_nodes_are_drained_one_pod_at_a_time() -> None:
    (budget,), (deployment,) = of_kind("PodDisruptionBudget"), of_kind("Deployment")
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]
    (job,) = of_kind("CronJob")
    of_job = job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert not budget["spec"]["selector"]["matchLabels"].items() <= of_job.items()
    assert deployment["spec"]["replicas"] > budget["spec"]["maxUnavailable"]


async def test_pods_come_and_go_by_a_metric_that_exists(tmp_path: Path) -> None:
    adapter = yaml.safe_load((ROOT / "deploy" / "prometheus" / "adapter.yaml").read_text())
    (rule,) = adapter["rules"]["custom"]
    template = (CHART / "templates" / "service.yaml").read_text()
    assert re.findall(r"metric: {name: (\w+)}", template) == [rule["name"]["as"]]
    (series,) = re.findall(r"recsvc_\w+", rule["seriesQuery"])
    labels = (await exposed(tmp_path))[series]
    expression = rule["metricsQuery"].replace("<<.GroupBy>>", "pod")
    assert set(re.findall(r"(\w+)=~", expression)) | {"le"} <= labels
    assert expression.count("(") == expression.count(")")
    of_cluster = {each["resource"] for each in rule["resources"]["overrides"].values()}
    assert of_cluster == {"namespace", "pod"}


# --- with helm --------------------------------------------------------------------------------


TEMPLATE = ("template", "recsvc", str(CHART), "--kube-version", "1.29")
"""A helm that is installed by Go takes itself for an old one otherwise."""


def helm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    assert HELM is not None
    return subprocess.run(
        [HELM, *arguments], capture_output=True, text=True, timeout=600, check=False
    )


def made(changes: dict[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """What the chart makes with some values, by kind; the two of streams by name."""
    values = folder / "values.yaml"
    values.write_text(yaml.safe_dump(changes))
    done = helm(*TEMPLATE, "--values", str(values))
    assert done.returncode == 0, done.stderr
    documents = [each for each in yaml.safe_load_all(done.stdout) if each]
    of_streams = re.compile("recsvc-(consume|publish)")
    named = {
        name if of_streams.fullmatch(name := each["metadata"]["name"]) else each["kind"]: each
        for each in documents
    }
    assert len(named) == len(documents)
    return named


EVERYTHING = {
    "images": {"pullSecrets": ["registry"]},
    "settings": {"neo4j_database": "shop", "max_evidence": "1000000"},
    "service": {"hosts": ["api.example.org"], "workers": 4},
    "autoscaling": {"enabled": True, "latency": "100m"},
    "refresh": {"storageClass": "fast"},
    "consume": {"replicas": 3},
    "publish": {"topic": "recsvc.changes"},
}


@needs_helm
def test_helm_finds_nothing_amiss() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_helm
def test_the_manifest_is_what_the_chart_makes(tmp_path: Path) -> None:
    found = {each["kind"]: each for each in yaml.safe_load_all(MANIFEST.read_text())}
    again = f"helm {shlex.join(TEMPLATE)} > {MANIFEST}"
    assert made({}, tmp_path) == found, again


@needs_helm
def test_values_arrive(tmp_path: Path) -> None:
    manifests = made(EVERYTHING, tmp_path)
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["containers"][0]["args"] == ["serve", "--workers", "4"]
    of_job = manifests["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][
        0
    ]
    for container in (pod["containers"][0], of_job):
        variables = {each["name"]: each.get("value") for each in container["env"]}
        assert variables["RECSVC_NEO4J_DATABASE"] == "shop"
        assert variables["RECSVC_MAX_EVIDENCE"] == "1000000"
    hosts = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert hosts["RECSVC_ALLOWED_HOSTS"] == "recsvc,*.svc,*.svc.cluster.local,api.example.org"
    assert manifests["PersistentVolumeClaim"]["spec"]["storageClassName"] == "fast"


@needs_helm
def test_pods_come_and_go_by_processor_time_and_by_latency_where_it_is_asked_for(
    tmp_path: Path,
) -> None:
    found = made(EVERYTHING, tmp_path)
    scaler = found["HorizontalPodAutoscaler"]["spec"]
    assert [each["type"] for each in scaler["metrics"]] == ["Resource", "Pods"]
    assert scaler["metrics"][1]["pods"]["target"]["averageValue"] == "100m"
    assert scaler["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    assert "replicas" not in found["Deployment"]["spec"]  # two would set it, by turns
    (metric,) = made({"autoscaling": {"enabled": True}}, tmp_path)["HorizontalPodAutoscaler"][
        "spec"
    ]["metrics"]
    assert metric["resource"]["name"] == "cpu"


@needs_helm
def test_there_need_be_no_refresh(tmp_path: Path) -> None:
    found = made({"refresh": {"enabled": False}}, tmp_path)
    assert found.keys() == {"Deployment", "Service", "PodDisruptionBudget"}


@needs_helm
def test_streams_run_where_they_are_asked_for(tmp_path: Path) -> None:
    found = made(EVERYTHING, tmp_path)
    told = {}
    for name in ("consume", "publish"):
        spec = found[f"recsvc-{name}"]["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        told[name] = (spec["replicas"], container["args"])
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        assert not found["Service"]["spec"]["selector"].items() <= labels.items()
        (password,) = [e for e in container["env"] if e["name"] == "RECSVC_KAFKA__PASSWORD"]
        assert password["valueFrom"]["secretKeyRef"]["name"] == VALUES["secret"]
    assert told == {
        "consume": (3, ["consume"]), "publish": (1, ["publish", "--topic", "recsvc.changes"]),
    }  # fmt: skip
    assert not {"recsvc-consume", "recsvc-publish"} & made({}, tmp_path).keys()


def test_the_values_of_the_page_are_taken() -> None:
    page = (ROOT / "docs" / "streams.md").read_text()
    text = "\n".join(re.findall(r"^    ((?:settings|consume|publish): .*)$", page, re.MULTILINE))
    values = yaml.safe_load(text)
    assert values.keys() == {"settings", "consume", "publish"}
    jsonschema.validate(with_changes(values), SCHEMA, jsonschema.Draft7Validator)


@needs_helm
@pytest.mark.parametrize("changes", REFUSED[:4])
def test_helm_refuses_them_too(changes: dict[str, Any], tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(changes))
    done = helm(*TEMPLATE, "--values", str(values))
    assert done.returncode != 0
    assert next(iter(changes["settings"])) in done.stderr
    assert "hunter2" not in done.stderr


# --- with the schemas of Kubernetes -----------------------------------------------------------


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_kubernetes_knows_every_field_of_the_manifest(version: str) -> None:
    for each in yaml.safe_load_all(MANIFEST.read_text()):
        kubernetes_validate.validate(each, version, strict=True)


@needs_helm
@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_kubernetes_knows_every_field_of_what_can_be_made(version: str, tmp_path: Path) -> None:
    for each in made(EVERYTHING, tmp_path).values():
        kubernetes_validate.validate(each, version, strict=True)
