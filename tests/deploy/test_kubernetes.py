"""The manifests: rendered by kubectl, against the schemas of the Kubernetes API, and true."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from sqlalchemy import create_engine, text
from tests.api.serving import add_experiment
from tests.deploy.conftest import ROOT, SETTINGS, assert_is_command, tool

from services import MADE
from tunesmith.jobs.workers.worker import FAREWELL
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.store import Store

OVERLAYS = sorted(path.name for path in (ROOT / "k8s/manifests/overlays").iterdir())
VERSION = "1.33"
"""The Kubernetes that the manifests are checked against."""

OTHERS = ("keda.sh/v1alpha1", "trainer.kubeflow.org/v1alpha1")
"""APIs that clusters get by extensions, whose schemas are not among Kubernetes' own."""

WORKLOADS = ("Deployment", "StatefulSet", "Job")

Manifest = dict[str, Any]


def settings_of(manifests: list[Manifest]) -> dict[str, str]:
    """What the config map says of Tunesmith's settings."""
    (found,) = (
        m["data"] for m in manifests
        if (m["kind"], m["metadata"]["name"]) == ("ConfigMap", "tunesmith")
    )  # fmt: skip
    return dict(found)


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Manifest]]:
    """Overlay → its manifests."""
    found = {}
    for name in OVERLAYS:
        made = tool("kubectl", "kustomize", f"k8s/manifests/overlays/{name}")
        assert made.returncode == 0, made.stderr
        found[name] = list(yaml.safe_load_all(made.stdout))
    return found


def workloads(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Everything that makes pods; of a training runtime, the jobs that Kubeflow Trainer makes."""
    for manifest in manifests:
        if manifest["kind"] in WORKLOADS:
            yield manifest
        if manifest["kind"] == "TrainingRuntime":
            for job in manifest["spec"]["template"]["spec"]["replicatedJobs"]:
                metadata = {**job["template"]["metadata"], "name": job["name"]}
                yield {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "metadata": {**metadata, "namespace": manifest["metadata"]["namespace"]},
                    "spec": job["template"]["spec"],
                }


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Name and specification of the pods that manifests make."""
    for manifest in workloads(manifests):
        yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for name, pod in pods(manifests):
        for container in pod["containers"]:
            yield name, container


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid_by_the_schemas_of_the_kubernetes_api(
    rendered: dict[str, list[Manifest]], overlay: str
) -> None:
    assert {"dev", "gpu", "nodes", "prod"} <= set(OVERLAYS)
    for manifest in [*rendered[overlay], *workloads(rendered[overlay])]:
        if manifest["apiVersion"] not in OTHERS:
            kubernetes_validate.validate(manifest, VERSION, strict=True)
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == "tunesmith"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_keeps_to_the_restricted_standard_and_has_limits(
    rendered: dict[str, list[Manifest]], overlay: str
) -> None:
    for name, pod in pods(rendered[overlay]):
        context = pod["securityContext"]
        assert context["runAsNonRoot"], name
        assert context["runAsUser"] > 0, name
        assert context["seccompProfile"]["type"] == "RuntimeDefault", name
        assert pod["automountServiceAccountToken"] is False, name
        kinds = {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}, name
    for name, container in containers(rendered[overlay]):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"], name
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys(), name
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
        if name not in ("migrations", "node"):  # which end by themselves
            assert "readinessProbe" in container, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_manifests_refer_to_is_there(
    rendered: dict[str, list[Manifest]], overlay: str
) -> None:
    manifests = rendered[overlay]
    names = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    claimed = {
        *MADE, "TUNESMITH_DATABASE_URL", "REDIS_URL",  # k8s.sh makes them
        "HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",  # optional
    }  # fmt: skip
    script = (ROOT / "k8s/k8s.sh").read_text(encoding="utf-8")
    assert all(f's["{name}"]' in script for name in ("TUNESMITH_DATABASE_URL", "REDIS_URL"))
    assert settings_of(manifests).keys() <= SETTINGS
    for name, pod in pods(manifests):
        assert ("ServiceAccount", pod["serviceAccountName"]) in names
        volumes = {volume["name"] for volume in pod["volumes"]}
        for volume in pod["volumes"]:
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in names
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes, name
            for source in container.get("envFrom", ()):
                assert ("ConfigMap", source["configMapRef"]["name"]) in names
            for variable in container.get("env", ()):
                if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                    assert secret["name"] == "tunesmith"
                    assert secret["key"] in claimed
    for manifest in manifests:
        if manifest["kind"] == "ScaledObject":
            assert ("Deployment", manifest["spec"]["scaleTargetRef"]["name"]) in names


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_and_policies_lead_to_pods_and_deployments_keep_apart(
    rendered: dict[str, list[Manifest]], overlay: str
) -> None:
    manifests = rendered[overlay]
    labels = [m["spec"]["template"]["metadata"]["labels"] for m in workloads(manifests)]
    for manifest in manifests:
        spec = manifest.get("spec", {})
        selector = {
            "Service": spec.get("selector"),
            "PodDisruptionBudget": spec.get("selector", {}).get("matchLabels"),
            "NetworkPolicy": spec.get("podSelector", {}).get("matchLabels"),
        }.get(manifest["kind"])
        if selector:
            assert any(selector.items() <= found.items() for found in labels), manifest["metadata"]
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            own = spec["selector"]["matchLabels"].items()
            assert sum(own <= found.items() for found in labels) == 1, manifest["metadata"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_commands_settings_and_probes_are_those_of_tunesmith(
    rendered: dict[str, list[Manifest]], overlay: str
) -> None:
    health = (ROOT / "src/tunesmith/api/routes/health.py").read_text(encoding="utf-8")
    page = (ROOT / "src/tunesmith/ui/server.py").read_text(encoding="utf-8")
    for name, container in containers(rendered[overlay]):
        if not container["image"].startswith("tunesmith-"):
            continue
        assert not container["image"].endswith("tunesmith-api"), "no tag"
        assert {v["name"] for v in container.get("env", ())} <= SETTINGS
        if name == "migrations":
            for words in re.findall(r"tunesmith (.*)", container["args"][0]):
                assert_is_command(words.split())
            continue
        assert_is_command(container["args"])
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(kind, {})
            if "httpGet" in probe:
                assert f'"{probe["httpGet"]["path"]}"' in (page if name == "ui" else health)
                assert probe["httpGet"]["port"] in {port["name"] for port in container["ports"]}
            if "exec" in probe:
                assert_is_command(probe["exec"]["command"][1:])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_worker_gets_the_time_that_its_trainings_need(
    rendered: dict[str, list[Manifest]], overlay: str
) -> None:
    grace = float(settings_of(rendered[overlay])["TUNESMITH_CANCEL_GRACE_SECONDS"])
    found = {name: pod for name, pod in pods(rendered[overlay]) if name.startswith("worker")}
    assert found
    for pod in found.values():
        assert pod["terminationGracePeriodSeconds"] > grace + FAREWELL
        assert "livenessProbe" not in pod["containers"][0]


def test_an_object_store_or_a_volume_holds_what_workers_share(
    rendered: dict[str, list[Manifest]],
) -> None:
    for overlay, shared in {"prod": False, "gpu": False, "dev": True}.items():
        config = settings_of(rendered[overlay])
        store = {config[n] for n in ("TUNESMITH_DATASETS", "TUNESMITH_ARTIFACTS")}
        assert all(not text if shared else text.startswith("s3://") for text in store)
        for name, pod in pods(rendered[overlay]):
            if name in ("api", "worker"):
                (results,) = (v for v in pod["volumes"] if v["name"] == "results")
                assert ("persistentVolumeClaim" in results) is shared


def test_what_scales_workers_counts_what_waits_and_runs_in_the_store(
    rendered: dict[str, list[Manifest]], settings: Settings, store: Store
) -> None:
    scaled = {
        m["spec"]["scaleTargetRef"]["name"]: m["spec"]
        for m in rendered["gpu"]
        if m["kind"] == "ScaledObject"
    }
    queries = {name: spec["triggers"][0]["metadata"]["query"] for name, spec in scaled.items()}
    engine = create_engine(settings.store_url)

    def count(name: str) -> int:
        with engine.connect() as connection:
            return int(connection.scalar(text(queries[name])) or 0)

    assert queries.keys() == {"worker", "worker-gpu"}
    assert count("worker") == 0
    for status in (ExperimentStatus.QUEUED, ExperimentStatus.RUNNING, ExperimentStatus.SUCCEEDED):
        add_experiment(store, settings, str(status), status, queue="cpu")
    assert (count("worker"), count("worker-gpu")) == (2, 0)
    store.queue.pause("cpu", "tests")
    assert count("worker") == 1
    engine.dispose()


def test_a_training_of_several_nodes_is_a_trainjob_that_carries_its_configuration(
    rendered: dict[str, list[Manifest]], tmp_path: Path
) -> None:
    asked = tmp_path / "experiment.yaml"
    asked.write_text("experiment_name: \"a 'b' $c\"\ndata:\n  dataset_name: reviews@3\n")
    kubectl = tmp_path / "kubectl"  # no cluster here: keeps what would be made
    kubectl.write_text('#!/bin/sh\ncase $* in *create*) cat >"$MADE" ;; esac\n')
    kubectl.chmod(0o755)

    def trainjob(*arguments: str, **environment: str) -> Manifest:
        made = tmp_path / "made.json"
        path = f"{tmp_path}:{os.environ['PATH']}"
        subprocess.run(
            ["k8s/k8s.sh", "train", *arguments],
            cwd=ROOT,
            env={**os.environ, "PATH": path, "MADE": str(made), **environment},
            check=True,
            capture_output=True,
        )
        job: Manifest = json.loads(made.read_text(encoding="utf-8"))
        assert (job["apiVersion"], job["kind"]) == (OTHERS[1], "TrainJob")
        (runtime,) = (m for m in rendered["nodes"] if m["kind"] == "TrainingRuntime")
        reference = job["spec"]["runtimeRef"]
        assert (reference["kind"], reference["name"]) == (
            runtime["kind"],
            runtime["metadata"]["name"],
        )
        assert_is_command(job["spec"]["trainer"]["args"])
        return job

    trainer = trainjob(str(asked), NODES="4", PROCESSES="2", GPUS="2")["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (4, 2)
    assert trainer["args"][-1] == "training.processes=8"
    assert trainer["env"] == [{"name": "EXPERIMENT", "value": asked.read_text()}]
    assert trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "2"
    assert trainjob("--resume", "abc")["spec"]["trainer"]["args"] == ["train", "--resume", "abc"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_leaves_for_private_addresses_but_to_what_is_named(
    rendered: dict[str, list[Manifest]], overlay: str
) -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in rendered[overlay]
                if m["kind"] == "NetworkPolicy"}  # fmt: skip
    assert policies["default-deny"]["policyTypes"] == ["Ingress", "Egress"]
    private = [ip_network(text) for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
        "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1/128",
    )]  # fmt: skip
    for name, policy in policies.items():
        for rule in policy.get("egress", ()):
            blocks = [to["ipBlock"] for to in rule.get("to", ()) if "ipBlock" in to]
            assert rule.get("to"), f"{name} leads anywhere"
            if not blocks or name == "private-services":
                continue
            assert [port["port"] for port in rule["ports"]] == [443], name
            for block in blocks:
                allowed, excepted = ip_network(block["cidr"]), map(ip_network, block["except"])
                kept_out = list(excepted)
                for network in private:
                    if network.version == allowed.version:
                        assert network in kept_out, (name, network)
    named = policies.get("private-services")
    assert (named is not None) == (overlay != "dev")
    for rule in (named or {}).get("egress", ()):
        assert 443 not in [port["port"] for port in rule["ports"]]


def test_nodes_that_train_together_reach_each_other_and_the_store(
    rendered: dict[str, list[Manifest]],
) -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in rendered["nodes"]
                if m["kind"] == "NetworkPolicy"}  # fmt: skip
    itself = [{"podSelector": {"matchLabels": {"app.kubernetes.io/component": "node"}}}]
    assert policies["node"]["ingress"] == [{"from": itself}]  # at any port: gloo chooses its own
    assert policies["node"]["egress"] == [{"to": itself}]
    out = policies["training"]["podSelector"]["matchExpressions"][0]
    into = policies["postgres"]["ingress"][0]["from"][0]["podSelector"]["matchExpressions"][0]
    assert "node" in out["values"]
    assert "node" in into["values"]
    (pod,) = (pod for name, pod in pods(rendered["nodes"]) if name == "node")
    (container,) = pod["containers"]
    timeout = re.search(r"--shutdown-timeout (\d+)", container["command"][2])
    assert timeout
    assert int(timeout[1]) < pod["terminationGracePeriodSeconds"]
