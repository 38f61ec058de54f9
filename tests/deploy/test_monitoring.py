"""What rules and panels ask is what the API exports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.api.serving import add_experiment, serving
from tests.deploy.conftest import ROOT, tool

from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import utc_now
from tunesmith.store.entities.service import Worker

OF_PROMETHEUS = {"up": {"job", "instance"}}
"""Metrics of Prometheus' own, and their labels."""


def asked() -> Iterator[tuple[str, str]]:
    """Where it stands, and the expression, of all rules and panels."""
    rules = yaml.safe_load((ROOT / "monitoring/rules.yml").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for path in (ROOT / "monitoring/grafana/dashboards").glob("*.json"):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["expr"]


USAGE = {
    "cpu_percent": 1.0,
    "memory_used": 1,
    "memory_total": 2,
    "disk_free": 1,
    "disk_total": 2,
    "devices": [
        {"name": "0", "kind": "gpu", "utilization": 1.0, "memory_used": 1, "memory_total": 2}
    ],
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Metric → its labels, of an API in whose store everything happened."""
    folder = tmp_path_factory.mktemp("scrape")
    settings = Settings(_env_file=None, TUNESMITH_RESULTS_DIR=folder / "results", REDIS_PORT=1)
    worker = Worker(
        name="w", host="h", pid=1, devices=("cpu",), queues=("cpu",), slots=1, version="0",
        usage=USAGE,
    )  # fmt: skip
    with serving(settings) as api:
        api.service.measurements.look()
        api.store.queue.register(worker)
        add_experiment(api.store, settings, "waits", ExperimentStatus.QUEUED, queue="cpu")
        now = {"started_at": utc_now(), "finished_at": utc_now()}
        add_experiment(api.store, settings, "ended", ExperimentStatus.FAILED, queue="cpu", **now)
        api.service.measurements.look()
        api.get("/health/live")
        text = api.get("/metrics").raise_for_status().text
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def strangers(expression: str, known: dict[str, set[str]]) -> list[str]:
    """Metrics and labels in an expression that are not among those known."""
    found: list[str] = []
    named: set[str] = set()
    grouped: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            labels = known.get(str(node.name))
            if labels is None:
                found.append(str(node.name))
                return
            named.update(labels)
            found.extend(m.name for m in node.matchers.matchers if m.name not in labels)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            grouped.update(node.modifier.labels)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found + sorted(grouped - named)


def test_rules_and_panels_name_metrics_and_labels_that_the_api_exports(
    exported: dict[str, set[str]],
) -> None:
    wrong = {place: strangers(asks, exported | OF_PROMETHEUS) for place, asks in asked()}
    assert len(wrong) > 20
    assert not {place: names for place, names in wrong.items() if names}


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("tunesmith_queue_size > 0", ["tunesmith_queue_size"]),
        ('tunesmith_queue_length{que="cpu"} > 0', ["que"]),
        ("sum by (host) (rate(tunesmith_outcomes_total[5m]))", ["host"]),
        ('sum by (status) (tunesmith_outcomes_total{queue="cpu"})', []),
    ],
)
def test_a_metric_or_label_that_is_none_is_found(
    exported: dict[str, set[str]], expression: str, names: list[str]
) -> None:
    assert strangers(expression, exported) == names


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is Prometheus' own")
def test_rules_fire_when_they_should_and_only_then() -> None:
    tested = tool("promtool", "test", "rules", "tests/deploy/rules.test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_prometheus_finds_the_api_and_grafana_its_dashboards() -> None:
    config = yaml.safe_load((ROOT / "monitoring/prometheus.yml").read_text(encoding="utf-8"))
    assert config["rule_files"] == ["rules.yml"]
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "tunesmith"
    assert job["static_configs"] == [{"targets": ["api:8000"]}]
    dashboard = json.loads(
        (ROOT / "monitoring/grafana/dashboards/tunesmith.json").read_text(encoding="utf-8")
    )
    sources = yaml.safe_load(
        (ROOT / "monitoring/grafana/provisioning/datasources/prometheus.yml").read_text("utf-8")
    )
    known = {source["uid"] for source in sources["datasources"]}
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} <= known
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
