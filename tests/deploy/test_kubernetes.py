"""The Kubernetes manifests: valid for the API, hardened, and true about the command line, the ports and the metrics."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from sayline_tts.server.app import make_app
from sayline_tts.server.engine_monitor import EngineMonitor
from sayline_tts.server.metrics import GAUGES, Metrics
from sayline_tts.server.settings import Settings
from sayline_tts.server.settings_table import settings
from tests.server.fakes import FakeEngine
from tests.server.fleet.harness import TestEngine

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
DOCKERFILE = (FOLDER.parent / "Dockerfile").read_text("utf-8")
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))
OBJECTS: list[dict[str, Any]] = [
    each for name in KUSTOMIZATION["resources"] for each in yaml.safe_load_all((FOLDER / name).read_text("utf-8"))
]
VERSIONS = "1.30", "1.37"  # the first that has preStop hooks that sleep, and the newest that the package has
FLAGS = {setting.flag: setting for setting in settings()}
SECRET_KEYS = {"SAYLINE_API_KEY", "SAYLINE_ENGINE_SECRET"}
PREFIXES = {"engine": [".venv/bin/sayline", "engine"], "front": [".venv/bin/sayline", "serve"]}


def of(kind: str) -> dict[str, dict[str, Any]]:
    """Objects of a kind by their names."""
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    """Pod specifications by component."""
    templates = [each["spec"]["template"] for each in of("Deployment").values()]
    return {each["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"] for each in templates}


def container(component: str) -> dict[str, Any]:
    (only,) = pods()[component]["containers"]
    assert isinstance(only, dict)
    return only


def options(component: str) -> dict[str, str]:
    """What the container gives the command line, by setting."""
    pairs = [argument.split("=", 1) for argument in container(component)["args"]]
    return {FLAGS[flag].name: value for flag, value in pairs}


def loaded(component: str) -> Settings:
    variables = {each["name"]: "a-long-random-string" for each in container(component)["env"]}
    secrets = {each.name: variables[name] for each in settings() for name in each.variables if name in variables}
    return Settings.load(**options(component), **secrets)


def ports(component: str) -> dict[str, int]:
    return {each["name"]: each["containerPort"] for each in container(component)["ports"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("item", OBJECTS, ids=lambda item: f"{item['kind']} {item['metadata']['name']}")
def test_manifest_is_valid_for_the_api(item: dict[str, Any], version: str) -> None:
    if item["apiVersion"].startswith("keda.sh/"):
        pytest.skip("no package carries the schema of KEDA's ScaledObject; other tests check its parts")
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    assert validate.validate(item, version, strict=True) == version


def test_field_that_the_api_does_not_have_is_found() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    item = of("Service")["sayline"]
    with pytest.raises(validate.ValidationError):
        validate.validate({**item, "spec": {**item["spec"], "sessionAfinity": "ClientIP"}}, VERSIONS[0], strict=True)


def test_every_file_is_listed() -> None:
    assert {path.name for path in FOLDER.glob("*.yaml")} == {*KUSTOMIZATION["resources"], "kustomization.yaml"}


@pytest.mark.parametrize("component", PREFIXES)
def test_command_line_is_one_that_the_program_takes(component: str) -> None:
    assert container(component)["command"] == PREFIXES[component]
    assert PREFIXES[component][0] in DOCKERFILE
    made = loaded(component)
    assert made.host == "0.0.0.0"
    if component == "engine":
        made.check_engine_exposure()
        assert {made.engine_port, made.metrics_port} == set(ports("engine").values())
    else:
        made.check_exposure()
        made.check_fleet()
        assert made.port == ports("front")["http"]


def test_fronts_ask_the_engines_service() -> None:
    ((name, port),) = loaded("front").engines
    service = of("Service")[name]["spec"]
    assert service["clusterIP"] == "None"
    (offered,) = service["ports"]
    assert port == offered["port"] == ports("engine")[offered["targetPort"]]
    assert options("front")["variant"] == options("engine")["variant"]


def test_services_budgets_and_policies_select_pods_that_exist() -> None:
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in of("Deployment").values()]
    selectors = [each["spec"]["selector"] for each in of("Service").values()]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of("PodDisruptionBudget").values()]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in of("NetworkPolicy").values()]
    assert all(selector in labels for selector in selectors)
    for deployment in of("Deployment").values():
        assert deployment["spec"]["selector"]["matchLabels"] in labels
    budgets = [each["spec"]["selector"]["matchLabels"] for each in of("PodDisruptionBudget").values()]
    assert all(label in budgets for label in labels)


@pytest.mark.parametrize("component", PREFIXES)
def test_secrets_come_from_the_generated_secret(component: str) -> None:
    (generator,) = KUSTOMIZATION["secretGenerator"]
    assert generator["envs"] == ["secrets.env"]
    assert "deploy/kubernetes/secrets.env" in (FOLDER.parents[1] / ".gitignore").read_text("utf-8").splitlines()
    for variable in container(component)["env"]:
        reference = variable["valueFrom"]["secretKeyRef"]
        assert reference == {"name": generator["name"], "key": variable["name"]}
        assert variable["name"] in SECRET_KEYS
        assert f"{variable['name']}=..." in (FOLDER / "kustomization.yaml").read_text("utf-8")
    names = {each["name"] for each in container(component)["env"]}
    assert ("SAYLINE_API_KEY" in names) == (component == "front")  # an engine does not need it


async def served_paths(component: str) -> set[str]:
    engine = FakeEngine()
    if component == "engine":
        own = TestEngine(engine)
        own.listener.close()  # nothing connects
        app: web.Application = EngineMonitor(own.server, Metrics("engine"))._app
    else:
        app = await make_app(loaded("front"), engine.model)
    return {route.resource.canonical for route in app.router.routes() if route.resource is not None}


@pytest.mark.parametrize("component", PREFIXES)
async def test_probes_and_scrapes_ask_paths_and_ports_that_are_served(component: str) -> None:
    paths, only = await served_paths(component), container(component)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert only[probe]["httpGet"]["path"] in paths
        assert only[probe]["httpGet"]["port"] in ports(component)
    assert only["readinessProbe"]["httpGet"]["path"] == "/readyz"  # fails while it drains
    assert only["livenessProbe"]["httpGet"]["path"] == "/healthz"  # and this does not
    notes = of("Deployment")[f"sayline-{component}"]["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/path"] in paths
    assert int(notes["prometheus.io/port"]) in ports(component).values()


@pytest.mark.parametrize("component", PREFIXES)
def test_grace_period_exceeds_hook_and_drain_time(component: str) -> None:
    hook = container(component).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pods()[component]["terminationGracePeriodSeconds"] > hook + loaded(component).drain_s + 10


@pytest.mark.parametrize("component", PREFIXES)
def test_containers_are_hardened(component: str) -> None:
    pod, only = pods()[component], container(component)
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in DOCKERFILE
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    mounts = {each["mountPath"]: each["name"] for each in only["volumeMounts"]}
    assert {"/data", "/tmp"} <= mounts.keys()
    assert set(mounts.values()) == {each["name"] for each in pod["volumes"]}
    assert "VOLUME /data" in DOCKERFILE
    (namespace,) = of("Namespace").values()
    assert namespace["metadata"]["name"] == KUSTOMIZATION["namespace"]


def test_fronts_reach_engines_and_nobody_else_does() -> None:
    (policy,) = of("NetworkPolicy").values()
    (speech, metrics) = policy["spec"]["ingress"]
    assert speech["from"][0]["podSelector"]["matchLabels"] == of("Service")["sayline"]["spec"]["selector"]
    assert [each["ports"][0]["port"] for each in (speech, metrics)] == [*ports("engine")]


def test_engines_keep_the_capacity_that_they_measure() -> None:
    resources = container("engine")["resources"]
    assert resources["requests"] == resources["limits"]


def test_autoscalers_scale_what_exists_and_its_replicas_are_theirs() -> None:
    scalers = {**of("ScaledObject"), **of("HorizontalPodAutoscaler")}
    targets = [each["spec"]["scaleTargetRef"] for each in scalers.values()]
    assert {each["name"] for each in targets} == of("Deployment").keys()
    assert {(each["apiVersion"], each["kind"]) for each in targets} == {("apps/v1", "Deployment")}
    assert all("replicas" not in each["spec"] for each in of("Deployment").values())


def test_autoscaler_that_keda_makes_of_it_is_valid() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    (scaled,) = of("ScaledObject").values()
    spec = scaled["spec"]
    made = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": scaled["metadata"],
        "spec": {
            "scaleTargetRef": spec["scaleTargetRef"],
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            **spec["advanced"]["horizontalPodAutoscalerConfig"],
        },
    }
    assert validate.validate(made, VERSIONS[1], strict=True) == VERSIONS[1]
    assert 0 < spec["minReplicaCount"] < spec["maxReplicaCount"]
    assert all(isinstance(value, str) for each in spec["triggers"] for value in each["metadata"].values())


def query() -> str:
    (scaled,) = of("ScaledObject").values()
    (trigger,) = scaled["spec"]["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("prometheus", "AverageValue")
    assert trigger["metadata"]["threshold"] == "1"  # the query's value is the number of engines
    return str(trigger["metadata"]["query"])


def test_engines_are_scaled_by_metrics_that_exist() -> None:
    families = {each.name: each for each in text_string_to_metric_families(Metrics("engine").render()[0].decode())}
    asked = set(re.findall(r"\bsayline_[a-z_]+", query()))
    assert asked <= families.keys()
    assert {name.removeprefix("sayline_") for name in asked - {"sayline_process_info"}} <= GAUGES.keys()
    (info,) = families["sayline_process_info"].samples
    assert set(re.findall('role="([a-z]+)"', query())) == {info.labels["role"]}
