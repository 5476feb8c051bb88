"""The chart, rendered by helm itself; every object is held against Kubernetes' own schemas."""

from __future__ import annotations

import base64
import copy
import re

import jsonschema_rs
import pytest
import yaml

from runtime.roles import Role, with_role
from settings.config import load_config
from tests.support.deployment import chart, tools
from tests.support.deployment.chart import CHART, Objects

PASSWORD = "${file:/run/secrets/face/database_password}"
DATABASE = f"postgresql://face:{PASSWORD}@database.example/face"
EVERYTHING = {
    "config": {"library": {"database": DATABASE}, "limits": {"upload_bytes": 536870912}},
    "secrets": {"values": {"database_password": "a b", "metrics_key": "ak_1.secret"}},
    "models": {"existingClaim": "models"},
    "imagePullSecrets": [{"name": "mirror"}],
    "pipeline": {
        "gpu": {"resource": "nvidia.com/mig-1g.10gb", "count": 2},
        "autoscaling": {"enabled": True, "cpu": 80},
        "nodeSelector": {"gpu": "a100"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "podAnnotations": {"note": "pipeline"},
    },
    "gateway": {"replicas": 3, "affinity": {"nodeAffinity": {}}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "tls": [{"secretName": "face-tls", "hosts": ["face.example"]}],
    },
    "networkPolicy": {
        "clients": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "monitoring": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.5/32"}}], "ports": [{"port": 5432}]}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
}


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return Objects(tmp_path_factory.mktemp("usual"), {})


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    return Objects(tmp_path_factory.mktemp("everything"), EVERYTHING)


def settings(objects, tmp_path):
    """The settings of a release, as the service reads them."""
    file = tmp_path / "config.yml"
    text = objects.one("ConfigMap", "face-serving")["data"]["config.yml"]
    # What is a file in the pod alone.
    file.write_text(text.replace(PASSWORD, "secret"))
    return load_config(file)


def test_helm_finds_nothing_to_say_against_the_chart():
    assert "0 chart(s) failed" in tools.output([tools.helm(), "lint", "--strict", CHART])


def test_the_usual_release_is_a_pipeline_and_a_gateway_with_its_data(usual):
    assert usual.names("Deployment") == ["face-serving-gateway", "face-serving-pipeline"]
    assert usual.names("Service") == ["face-serving", "face-serving-pipeline"]
    assert usual.names("PersistentVolumeClaim") == ["face-serving-data"]
    assert usual.names("PodDisruptionBudget") == ["face-serving-gateway", "face-serving-pipeline"]
    assert usual.names("NetworkPolicy") == ["face-serving-gateway", "face-serving-pipeline"]
    for kind in ("HorizontalPodAutoscaler", "Ingress", "Secret", "ServiceMonitor"):
        assert usual.names(kind) == []


def test_what_is_asked_for_is_there_as_well(everything):
    for kind in ("HorizontalPodAutoscaler", "Ingress", "Secret"):
        assert len(everything.names(kind)) == 1
    assert everything.names("ServiceMonitor") == ["face-serving-gateway", "face-serving-pipeline"]


def test_kubernetes_would_refuse_a_key_that_it_does_not_know(usual):
    wrong = copy.deepcopy(usual.one("Deployment", "face-serving-gateway"))
    wrong["spec"]["template"]["spec"]["containers"][0]["imagepullpolicy"] = "Always"
    with pytest.raises(jsonschema_rs.ValidationError, match="imagepullpolicy"):
        chart.check(wrong)


@pytest.mark.parametrize("part", ["pipeline", "gateway"])
def test_pods_are_nobodys_in_particular_and_write_to_volumes_alone(usual, part):
    pod, container = usual.pod(part), usual.container(part)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_each_part_runs_its_role_with_the_releases_settings(usual, tmp_path):
    config = settings(usual, tmp_path)
    assert config.gateway.pipelines == (f"face-serving-pipeline:{config.rpc_port}",)
    for part in ("pipeline", "gateway"):
        role = usual.container(part)["args"][1]
        assert with_role(config, Role(role)) is not None
    grpc, _ = usual.one("Service", "face-serving-pipeline")["spec"]["ports"]
    assert (grpc["port"], config.rpc_host) == (config.rpc_port, "0.0.0.0")


def test_the_settings_are_config_yml_but_for_what_is_changed(everything, tmp_path):
    own = load_config(CHART / "config.yml")
    config = settings(everything, tmp_path)
    assert config.limits == own.limits.model_copy(update={"upload_bytes": 536870912})
    assert config.library.database == DATABASE.replace(PASSWORD, "secret")
    written = everything.one("ConfigMap", "face-serving")["data"]["config.yml"]
    assert DATABASE in written
    changed = {"path", "limits", "library", "gateway", "op"}
    assert config.model_dump(exclude=changed) == own.model_dump(exclude=changed)


def test_other_settings_are_other_pods(usual, everything):
    def checksum(objects):
        template = objects.one("Deployment", "face-serving-pipeline")["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/config"]

    assert re.fullmatch("[0-9a-f]{64}", checksum(usual))
    assert checksum(usual) != checksum(everything)


def test_a_part_of_a_gpu_is_asked_for_by_its_name_and_every_stage_runs_there(everything, tmp_path):
    limits = everything.container("pipeline")["resources"]["limits"]
    assert limits == {"memory": "3Gi", "nvidia.com/mig-1g.10gb": 2}
    stages = settings(everything, tmp_path).op
    assert {op.devices for op in stages.values() if op.models} == {"0,1"}
    assert "nvidia.com/mig-1g.10gb" not in everything.container("gateway")["resources"]["limits"]
    strategy = everything.one("Deployment", "face-serving-pipeline")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_pipelines_follow_the_length_of_their_queues(everything):
    scaler = everything.one("HorizontalPodAutoscaler", "face-serving-pipeline")["spec"]
    queue, cpu = scaler["metrics"]
    assert queue["pods"]["metric"]["name"] == "face_pipeline_queue_length"
    assert queue["pods"]["target"] == {"type": "AverageValue", "averageValue": "8"}
    assert cpu["resource"]["target"]["averageUtilization"] == 80
    assert scaler["scaleTargetRef"]["name"] == "face-serving-pipeline"
    # The number of pods is the autoscaler's alone.
    assert "replicas" not in everything.one("Deployment", "face-serving-pipeline")["spec"]


def test_secrets_are_files_that_the_service_alone_can_read(everything):
    secret = everything.one("Secret", "face-serving")
    assert base64.b64decode(secret["data"]["database_password"]) == b"a b"
    for part in ("pipeline", "gateway"):
        (volume,) = (one for one in everything.pod(part)["volumes"] if one["name"] == "secrets")
        # What a file of a secret may be: settings/secrets.py refuses one that others can read.
        assert volume["secret"] == {"secretName": "face-serving", "defaultMode": 0o440}
        assert "env" not in everything.container(part)


def test_a_secret_that_is_there_already_is_used_and_none_is_made(tmp_path):
    objects = Objects(tmp_path, {"secrets": {"existing": "vault"}})
    assert objects.names("Secret") == []
    (volume,) = (one for one in objects.pod("gateway")["volumes"] if one["name"] == "secrets")
    assert volume["secret"]["secretName"] == "vault"


def test_several_gateways_need_a_database_server(tmp_path):
    said = chart.render(tmp_path, {"gateway": {"replicas": 2}}, status=1)
    assert "several gateways need a database server: set config.library.database" in said


def test_several_gateways_share_no_volume_and_a_client_stays_with_one(everything):
    assert everything.names("PersistentVolumeClaim") == []
    (data,) = (one for one in everything.pod("gateway")["volumes"] if one["name"] == "data")
    assert "emptyDir" in data
    assert everything.one("Service", "face-serving")["spec"]["sessionAffinity"] == "ClientIP"


def test_one_gateway_is_gone_before_the_next_one_takes_its_volume(usual):
    spec = usual.one("Deployment", "face-serving-gateway")["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    claim = usual.one("PersistentVolumeClaim", "face-serving-data")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_only_gateways_reach_a_pipeline_which_reaches_nobody(everything):
    policy = everything.one("NetworkPolicy", "face-serving-pipeline")["spec"]
    work, figures = policy["ingress"]
    (peer,) = work["from"]
    gateway = everything.one("Deployment", "face-serving-gateway")["spec"]["selector"]
    assert peer["podSelector"] == gateway
    assert work["ports"] == [{"protocol": "TCP", "port": 18091}]
    assert figures["ports"] == [{"protocol": "TCP", "port": 9998}]
    assert policy["egress"] == []


def test_a_gateway_is_reached_by_whom_the_values_name(usual, everything):
    def sources(objects):
        (rule,) = objects.one("NetworkPolicy", "face-serving-gateway")["spec"]["ingress"]
        return rule.get("from")

    assert sources(usual) is None
    assert len(sources(everything)) == 2


def test_prometheus_shows_the_gateway_a_key_and_finds_both_parts(everything):
    for part in ("gateway", "pipeline"):
        monitor = everything.one("ServiceMonitor", f"face-serving-{part}")
        (endpoint,) = monitor["spec"]["endpoints"]
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [
            port["name"]
            for name in everything.names("Service")
            for service in [everything.one("Service", name)]
            if wanted <= service["metadata"]["labels"].items()
            for port in service["spec"]["ports"]
        ]
        assert endpoint["port"] in found
        assert ("authorization" in endpoint) is (part == "gateway")
        assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_figures_without_a_key_for_them_are_refused(tmp_path):
    said = chart.render(tmp_path, {"serviceMonitor": {"enabled": True}}, status=1)
    assert "secrets has to hold metrics_key" in said


@pytest.mark.parametrize(
    "values",
    [
        {"pipeline": {"gpu": {"resource": "nvidia.com/mig-1g10gb"}}},
        {"pipeline": {"gpus": 1}},
        {"gateway": {"replicas": 0}},
        {"ingress": {"hosts": []}},
        {"service": {"type": "Balancer"}},
        {"secrets": {"values": {"database_password": 7}}},
    ],
)
def test_values_that_are_not_allowed_are_refused(values, tmp_path):
    assert "values don't meet the specifications" in chart.render(tmp_path, values, status=1)


def test_the_values_are_documented_by_what_they_are(usual):
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}
