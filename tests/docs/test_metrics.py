"""docs/metrics.md and the code name the same metrics, labels and values."""

from __future__ import annotations

import re

import redis
import yaml
from prometheus_client import metrics_core
from prometheus_client.metrics import MetricWrapperBase

from mooring import metrics as shared
from tests.docs.pages import read
from webhook import metrics as webhook
from workers import metrics as workers
from workers.gauges import Installation

_PAGE = read("docs/metrics.md")
_ROW = re.compile(r"^\| `(mooring_\w+)` \|([^|]*)\| (\w+) \|", re.MULTILINE)


def _of_the_code(client: redis.Redis) -> dict[str, tuple[tuple[str, ...], str]]:
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    for module in (shared, webhook, workers):
        for metric in vars(module).values():
            if isinstance(metric, MetricWrapperBase):
                assert metric._type is not None
                name = metric._name + ("_total" if metric._type == "counter" else "")
                found[name] = metric._labelnames, metric._type
    for gauge in Installation(client).collect():
        assert isinstance(gauge, metrics_core.GaugeMetricFamily)
        found[gauge.name] = gauge._labelnames, gauge.type
    return found


def test_every_metric_is_on_the_page_with_its_labels_and_no_other(redis_client: redis.Redis) -> None:
    page = {name: (tuple(re.findall(r"`(\w+)`", labels)), kind) for name, labels, kind in _ROW.findall(_PAGE)}
    assert page == _of_the_code(redis_client)


def test_every_result_of_a_delivery_is_on_the_page() -> None:
    results = _PAGE.partition("The results:")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", results)) == {result.value for result in webhook.Result}


def test_the_alerts_are_rules_over_metrics_that_there_are(redis_client: redis.Redis) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL)
    rules = [rule for group in yaml.safe_load(block)["groups"] for rule in group["rules"]]
    known = _of_the_code(redis_client)
    for rule in rules:
        assert rule["expr"].count("(") == rule["expr"].count(")")
        for name in re.findall(r"\bmooring_\w+", rule["expr"]):
            assert name.removesuffix("_bucket") in known, rule
        for name, labels in re.findall(r"\b(mooring_\w+)\{([^}]*)\}", rule["expr"]):
            assert set(re.findall(r"(\w+)=", labels)) <= set(known[name][0]), rule
