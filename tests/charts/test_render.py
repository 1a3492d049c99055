"""What the chart makes of its values: as it is written down, and nothing else."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from charts.generate import CASES, CHART, NAMESPACE, documented, helm, readme, render, schema
from cli.doctor import RIGHTS
from cli.main import main
from mooring.settings import Settings
from mooring.settings_web import WebSettings
from tests.charts.rendered import (
    NAMES,
    component,
    container,
    environment,
    golden,
    objects,
    of_kind,
    pods,
    values,
)
from tests.docs.pages import blocks, read
from workers.health import KINDS_WITH_HEALTH

each = pytest.mark.parametrize("name", NAMES)
RENEW = "run: make chart, and read what it changes"
REDIS = {"existingSecret": "mooring-redis"}


def refusal(path: Path) -> str:
    """What helm says against rendering with these values."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        render(path)
    return str(caught.value.stderr)


# --- as it is written down ------------------------------------------------------------------------


@each
def test_the_linter_has_nothing_to_say(name: str) -> None:
    argv = [helm(), "lint", "--strict", str(CHART), "--values", str(CASES / f"{name}.yaml")]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 chart(s) linted, 0 chart(s) failed" in done.stdout + done.stderr


@each
def test_it_renders_as_committed(name: str) -> None:
    assert render(CASES / f"{name}.yaml") == golden(name), RENEW


def test_the_readme_has_every_value() -> None:
    page = (CHART / "README.md").read_text(encoding="utf-8")
    assert readme(page) == page, RENEW


def test_a_value_that_nothing_explains_is_found() -> None:
    with pytest.raises(ValueError, match="nothing explains b"):
        list(documented("# -- The first.\na: 1\n\nb: 2\n"))


# --- the schema -----------------------------------------------------------------------------------


def test_the_schema_is_one_and_takes_all_that_is_written_here() -> None:
    text = (CHART / "values.schema.json").read_text(encoding="utf-8")
    described = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(described)
    judge = jsonschema.Draft202012Validator(described)
    for path in (CHART / "values.yaml", *CASES.glob("*.yaml")):
        judge.validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert schema(text) == text, RENEW


def test_every_value_has_its_place_in_the_schema_and_no_other_is_taken() -> None:
    described = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    def compare(values: dict[str, Any], schema: dict[str, Any], path: str) -> None:
        while "$ref" in schema:
            schema = described["$defs"][schema["$ref"].rpartition("/")[2]]
        if "properties" not in schema or not values:
            return
        assert schema["additionalProperties"] is False, path
        for key, value in values.items():
            assert key in schema["properties"], f"{path}{key}"
            if isinstance(value, dict):
                compare(value, schema["properties"][key], f"{path}{key}.")

    given = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    compare(given, described, "")
    assert set(described["properties"]) - set(given) == {"global"}  # helm's own


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"wrker": {"replicas": 2}}, "wrker"),
        ({"web": {"replica": 2}}, "replica"),
        ({"web": {"replicas": "2"}}, "replicas"),
        ({"rbac": {"scope": "namespace"}}, "scope"),
        ({"image": {"digest": "sha256:123"}}, "digest"),
        ({"ingress": {"paths": "webhook"}}, "paths"),
        ({"redis": {"password": "hunter2"}}, "password"),
        ({"settings": {"MOORING_POLL_SECOND": "60"}}, "MOORING_POLL_SECOND"),
        ({"settings": {"MOORING_REDIS_URL": "redis://:secret@x"}}, "MOORING_REDIS_URL"),
        ({"web": {"settings": {"MOORING_WEBHOOK_GITHUB_SECRET": "x"}}}, "MOORING_WEBHOOK_GITHUB_SECRET"),
        ({"podDisruptionBudget": {"maxUnavailable": 0}}, "maxUnavailable"),
        ({"networkPolicy": {"dnsPeers": []}}, "dnsPeers"),
    ],
)
def test_what_is_misspelt_is_refused_by_name(wrong: dict[str, Any], named: str, tmp_path: Path) -> None:
    given = values(tmp_path, **{"redis": REDIS, **wrong})
    assert named in refusal(given)


# --- secrets --------------------------------------------------------------------------------------


def test_without_a_cluster_no_password_is_made_and_the_command_that_makes_it_is_said(tmp_path: Path) -> None:
    said = refusal(values(tmp_path))
    assert "redis.existingSecret is needed: this is rendered without its cluster" in said
    command = said[said.index("kubectl ") :].splitlines()[0]
    words = shlex.split(command.replace("$(openssl rand -hex 32)", "f" * 64))
    assert words[:7] == ["kubectl", "-n", "mooring-system", "create", "secret", "generic", "mooring-redis"]
    assert f"--from-literal=web-url=redis://mooring-web:{'f' * 64}@mooring-redis:6379/0" in words

    said = refusal(values(tmp_path, redis=REDIS, flower={"enabled": True}))
    assert "flower.existingSecret is needed" in said


def test_a_redis_of_ones_own_needs_its_urls(tmp_path: Path) -> None:
    said = refusal(values(tmp_path, redis={"enabled": False}))
    assert "redis.existingSecret is needed where redis.enabled is false" in said


def test_namespaced_mode_wants_to_know_where(tmp_path: Path) -> None:
    said = refusal(values(tmp_path, redis=REDIS, rbac={"scope": "namespaces"}))
    assert "rbac.namespaces is empty" in said


@each
def test_each_pod_has_the_secrets_that_it_needs_and_no_other(name: str) -> None:
    def held(pod: Any) -> set[tuple[str, str]]:
        secrets = [volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume]
        return {
            (secret["secretName"], item["key"])
            for secret in secrets
            for item in secret.get("items", [{"key": "*"}])
        }

    found = pods(objects(golden(name)))
    redis = next(secret for secret, key in held(found["web"]) if key == "web-url")
    assert held(found["web"]) == {(redis, "web-url"), ("mooring-webhooks", "*")}
    assert held(found["worker"]) == held(found["beat"]) == held(found["observer"]) == {(redis, "url")}
    if "flower" in found:
        assert held(found["flower"]) == {(redis, "url"), ("mooring-flower", "password")}
    if "redis" in found:
        assert held(found["redis"]) == {(redis, "url"), (redis, "web-url")}
    assert not list(of_kind(objects(golden(name)), "Secret"))
    assert "secretKeyRef" not in golden(name), "secrets are files"


# --- images ---------------------------------------------------------------------------------------


def images(found: list[Any]) -> dict[str, tuple[str, str]]:
    """The image of each component, and when it is pulled."""
    containers = {part: container(pod) for part, pod in pods(found).items()}
    return {part: (one["image"], one["imagePullPolicy"]) for part, one in containers.items()}


@pytest.mark.parametrize("page", ["docs/install.md", "charts/mooring/README.md"])
def test_the_images_that_the_pages_build_are_those_of_the_chart_which_pulls_nobody_elses(page: str) -> None:
    commands = next(block for block in blocks(page) if block.startswith("docker build"))
    *builds, load = commands.splitlines()
    built = {line.split()[3]: "web" if "--target web" in line else "mooring" for line in builds}
    found = images(objects(golden("everything")))
    del found["redis"]
    wanted = {image: "web" if part == "web" else "mooring" for part, (image, _) in found.items()}
    assert wanted == built
    assert {policy for _, policy in found.values()} == {"Never"}
    assert load.split() == ["kind", "load", "docker-image", *built]


def test_a_registry_of_ones_own_is_pulled_from(tmp_path: Path) -> None:
    page = read("charts/mooring/README.md")
    (block,) = re.findall(r"<!-- block: registry -->\n```yaml\n(.*?)```", page, re.DOTALL)
    given = {"redis": REDIS, "flower": {"enabled": True, "existingSecret": "f"}, **yaml.safe_load(block)}
    found = images(objects(render(values(tmp_path, **given))))
    del found["redis"]
    assert {policy for _, policy in found.values()} == {"IfNotPresent"}
    assert all(image.startswith("registry.example.com/mooring/mooring") for image, _ in found.values())
    assert "/mooring-web:" in found["web"][0]


# --- processes ------------------------------------------------------------------------------------


@each
def test_commands_are_those_of_the_command_line(name: str) -> None:
    found = pods(objects(golden(name)))
    called = {
        part: [*container(pod)["command"], *container(pod).get("args", ())] for part, pod in found.items()
    }
    processes = "2" if name == "everything" else "1"
    listen = ["--host", "0.0.0.0", "--port"]
    assert called["web"] == ["python", "-m", "webhook", *listen, "8080", "--processes", processes]
    assert called["worker"] == ["mooring", "worker"]
    assert called["beat"] == ["mooring", "beat"]
    assert called["observer"] == ["mooring", "observe"]
    assert called.get("flower", ["mooring", "flower", *listen, "5555"]) == [
        "mooring",
        "flower",
        *listen,
        "5555",
    ]

    # `python -m webhook` takes what `mooring web` takes.
    for command, *words in (["web", *called["web"][3:]], ["worker"], ["beat"], ["observe"]):
        context = click.Context(main)
        found_command = main.get_command(context, command)
        assert found_command is not None
        found_command.make_context(command, words, parent=context)


def told(variables: dict[str, str]) -> dict[str, str]:
    """Without those that lead to files, which are in the pod alone."""
    files = ("MOORING_REDIS_URL_FILE", "MOORING_WEBHOOK_SECRETS_DIR")
    return {name: value for name, value in variables.items() if name not in files}


@each
def test_variables_are_settings_of_their_tier(name: str) -> None:
    found = pods(objects(golden(name)))
    web = environment(found["web"])
    WebSettings.from_env(told(web))
    assert not {"MOORING_NAMESPACE", "MOORING_STATE_DIR", "HOME"} & set(web)
    assert not {"MOORING_NAMESPACE", "MOORING_STATE_DIR"} & set(environment(found["beat"]))
    worker = Settings.from_env(told(environment(found["worker"])))
    assert worker.namespace == "mooring-system"
    assert worker.poll_s == (60 if name == "everything" else 180)
    for part in ("web", "worker", "beat", "observer"):
        given = environment(found[part])
        assert given["MOORING_METRICS_ADDRESS"] == "0.0.0.0:9090"
        assert "MOORING_REDIS_URL" not in given


def test_flower_writes_its_lines_as_the_others_do_and_is_told_no_other_setting() -> None:
    found = pods(objects(golden("everything")))
    for part in ("worker", "beat", "observer", "flower"):
        assert environment(found[part])["MOORING_LOG_FORMAT"] == "human"
    own = {"MOORING_REDIS_URL_FILE", "MOORING_FLOWER_PASSWORD_FILE", "HOME"}
    assert set(environment(found["flower"])) == own | {"MOORING_LOG_FORMAT"}


@each
def test_every_path_that_a_process_is_told_is_mounted(name: str) -> None:
    for part, pod in pods(objects(golden(name))).items():
        mounts = {mount["mountPath"]: mount["name"] for mount in container(pod)["volumeMounts"]}
        words = [entry["value"] for entry in container(pod).get("env", ())]
        words += container(pod).get("args", ())
        for path in (text for text in words if text.startswith("/")):
            assert any(path == mount or path.startswith(f"{mount}/") for mount in mounts), f"{part}: {path}"
        named = {volume["name"] for volume in pod["spec"]["volumes"]}
        claimed = {"data", "state"}
        assert set(mounts.values()) <= named | claimed
        if part != "redis":
            assert "/tmp" in mounts, "libraries want it, and the root cannot be written"


@each
def test_probes_ask_what_each_process_answers(name: str) -> None:
    for part, pod in pods(objects(golden(name))).items():
        ports = {port["name"]: port["containerPort"] for port in container(pod)["ports"]}

        def asked(probe: str, of: Any = pod, ports: dict[str, int] = ports) -> tuple[str, int]:
            get = container(of)[probe]["httpGet"]
            return get["path"], ports[get["port"]]

        if part == "redis":
            assert container(pod)["livenessProbe"]["exec"] and container(pod)["readinessProbe"]["exec"]
        elif part == "web":
            assert asked("livenessProbe") == ("/healthz", 8080)
            assert asked("readinessProbe") == ("/readyz", 8080)
        elif part == "flower":
            assert asked("livenessProbe") == asked("readinessProbe") == ("/healthcheck", 5555)
        else:
            assert asked("livenessProbe") == asked("readinessProbe") == ("/healthz", 9090)
            assert asked("startupProbe") == ("/healthz", 9090)


# --- rights ---------------------------------------------------------------------------------------


@each
def test_only_workers_and_the_observer_have_a_token_each_of_an_account_of_its_own(name: str) -> None:
    found = objects(golden(name))
    mounted = {part: pod["spec"]["automountServiceAccountToken"] for part, pod in pods(found).items()}
    assert {part for part, token in mounted.items() if token} == {"worker", "observer"}
    accounts = {item["metadata"]["name"] for item in of_kind(found, "ServiceAccount")}
    used = {part: pod["spec"]["serviceAccountName"] for part, pod in pods(found).items()}
    assert set(used.values()) <= accounts
    bound = {
        subject["name"]
        for item in of_kind(found, "RoleBinding", "ClusterRoleBinding")
        for subject in item["subjects"]
    }
    assert bound == {used["worker"], used["observer"]}
    for one in ("worker", "observer"):
        assert used[one] not in {account for part, account in used.items() if part != one}


def observers(found: list[Any]) -> list[Any]:
    """The rules of the observer's roles."""
    account = pods(found)["observer"]["spec"]["serviceAccountName"]
    roles = {
        (item["metadata"].get("namespace", ""), item["roleRef"]["name"])
        for item in of_kind(found, "RoleBinding", "ClusterRoleBinding")
        if {subject["name"] for subject in item["subjects"]} == {account}
    }
    rules = [
        rule
        for item in of_kind(found, "Role", "ClusterRole")
        if (item["metadata"].get("namespace", ""), item["metadata"]["name"]) in roles
        for rule in item["rules"]
    ]
    assert rules
    return rules


def test_the_observer_may_see_the_secrets_of_other_clusters_in_one_namespace_where_that_is_wanted() -> None:
    before = observers(objects(golden("default")))
    found = objects(render(CASES / "default.yaml", "--set", "rbac.observeClusters=true"))
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"]}
    assert [rule for rule in observers(found) if rule not in before] == [secrets]
    (role,) = [item for item in of_kind(found, "Role", "ClusterRole") if secrets in item["rules"]]
    assert role["metadata"]["namespace"] == NAMESPACE


@each
def test_the_observer_reads_and_sees_no_secrets(name: str) -> None:
    rules = observers(objects(golden(name)))
    checks = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["argocd-cm", "argocd-gpg-keys-cm", "mooring-ssh-signers-cm"],
        "verbs": ["get"],
    }
    rules.remove(checks)
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list", "watch"}
    assert not {"*", "secrets"} & {text for rule in rules for text in rule["resources"]}
    assert not {"*"} & {text for rule in rules for text in rule["apiGroups"]}


def test_the_observer_may_see_every_kind_that_has_a_health_and_what_is_mostly_deployed() -> None:
    (role,) = [
        item
        for item in of_kind(objects(golden("default")), "ClusterRole")
        if item["metadata"]["name"].endswith("-observer")
    ]
    given = {(group, plural) for r in role["rules"] for group in r["apiGroups"] for plural in r["resources"]}
    kinds = KINDS_WITH_HEALTH - {("extensions", "Ingress")}  # no Kubernetes that we need serves it
    irregular = {"Ingress": "ingresses"}
    healthy = {(group, irregular.get(kind, f"{kind.lower()}s")) for group, kind in kinds}
    core = ("configmaps", "limitranges", "namespaces", "persistentvolumes", "resourcequotas")
    roles = ("clusterrolebindings", "clusterroles", "rolebindings", "roles")
    assert given == healthy | {
        *(("", plural) for plural in (*core, "serviceaccounts")),
        *(("rbac.authorization.k8s.io", plural) for plural in roles),
        *(("networking.k8s.io", plural) for plural in ("ingressclasses", "networkpolicies")),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("storage.k8s.io", "storageclasses"),
    }


def test_nothing_of_the_namespaced_mode_reaches_beyond_the_namespaces() -> None:
    found = objects(golden("namespaced"))
    assert not list(of_kind(found, "ClusterRole", "ClusterRoleBinding"))
    roles = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in of_kind(found, "Role")}
    elsewhere, seen = "mooring-system-mooring-destination", "mooring-system-mooring-observer"
    assert roles == {
        ("mooring-system", "mooring"),
        ("mooring-system", "mooring-observer"),
        *((namespace, role) for namespace in ("shop", "billing") for role in (elsewhere, seen)),
    }


def test_without_roles_and_account_the_workers_run_under_the_one_that_is_named(tmp_path: Path) -> None:
    account = {"create": False, "name": "deployer"}
    found = objects(render(values(tmp_path, redis=REDIS, rbac={"create": False}, serviceAccount=account)))
    assert pods(found)["worker"]["spec"]["serviceAccountName"] == "deployer"
    assert not list(of_kind(found, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"))
    assert "deployer" not in {item["metadata"]["name"] for item in of_kind(found, "ServiceAccount")}


# --- who reaches whom -----------------------------------------------------------------------------


def policies(name: str) -> dict[str, Any]:
    """The network policy of each component; each selects that component's pods alone."""
    found = objects(golden(name))
    policies = {}
    for item in of_kind(found, "NetworkPolicy"):
        wanted = item["spec"]["podSelector"]["matchLabels"]
        parts = {
            part for part, pod in pods(found).items() if wanted.items() <= pod["metadata"]["labels"].items()
        }
        assert parts == {component(item)}
        assert item["spec"]["policyTypes"] == ["Ingress", "Egress"]
        policies[component(item)] = item["spec"]
    assert set(policies) == set(pods(found)), "every pod has a policy"
    return policies


DNS = {
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    "to": [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ],
}


@pytest.mark.parametrize("name", ["default", "namespaced", "everything"])
def test_the_web_tier_reaches_redis_and_dns_alone_and_redis_nobody(name: str) -> None:
    found = policies(name)
    redis, dns = found["web"]["egress"]
    assert dns == DNS
    assert redis["ports"] == [{"protocol": "TCP", "port": 6379}]
    assert redis["to"] == [{"podSelector": found["redis"]["podSelector"]}]
    assert found["beat"]["egress"] == found["web"]["egress"]
    assert found["worker"]["egress"] == found["observer"]["egress"] == [{}]
    assert found["redis"]["egress"] == []

    (into,) = found["redis"]["ingress"]
    assert into["ports"] == redis["ports"]
    parts = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in into["from"]]
    assert parts == ["web", "worker", "beat", "observer", "flower"]
    for part in set(found) - {"redis"}:
        assert {"podSelector": found[part]["podSelector"]} in into["from"]


def test_nobody_calls_workers_and_metrics_are_for_those_who_are_named() -> None:
    plain, all_of_it = policies("default"), policies("everything")
    assert plain["web"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8080}]}]
    assert plain["worker"]["ingress"] == plain["beat"]["ingress"] == plain["observer"]["ingress"] == []
    for part in ("worker", "beat", "observer"):
        (rule,) = all_of_it[part]["ingress"]
        assert rule["ports"] == [{"protocol": "TCP", "port": 9090}] and rule["from"]
    assert [rule["ports"][0]["port"] for rule in all_of_it["web"]["ingress"]] == [8080, 9090]
    assert all(rule["from"] for rule in all_of_it["web"]["ingress"])
    assert all_of_it["flower"]["ingress"][0]["from"]


def test_a_redis_elsewhere_is_reached_where_it_is_said_to_be() -> None:
    redis, _ = policies("external-redis")["web"]["egress"]
    assert redis == {
        "ports": [{"protocol": "TCP", "port": 6380}],
        "to": [{"ipBlock": {"cidr": "10.20.0.0/16"}}],
    }


def test_flower_is_reached_by_nobody_unless_somebody_is_named(tmp_path: Path) -> None:
    given = values(tmp_path, redis=REDIS, flower={"enabled": True, "existingSecret": "f"})
    found = [item for item in of_kind(objects(render(given)), "NetworkPolicy") if component(item) == "flower"]
    assert [item["spec"]["ingress"] for item in found] == [[]]


def test_the_ingress_shows_the_webhooks_alone_unless_told_otherwise() -> None:
    def paths(name: str) -> list[str]:
        (found,) = of_kind(objects(golden(name)), "Ingress")
        return [path["path"] for path in found["spec"]["rules"][0]["http"]["paths"]]

    assert paths("everything") == ["/webhooks", "/api/webhook"]
    assert paths("small") == ["/"]


@each
def test_services_and_budgets_find_their_pods(name: str) -> None:
    found = objects(golden(name))
    for item in of_kind(found, "Service", "PodDisruptionBudget"):
        spec = item["spec"]
        wanted = spec["selector"].get("matchLabels", spec["selector"])
        (pod,) = [p for p in pods(found).values() if wanted.items() <= p["metadata"]["labels"].items()]
        names = {port["name"] for port in container(pod)["ports"]}
        assert {port["targetPort"] for port in spec.get("ports", ())} <= names
    services = {item["metadata"]["name"] for item in of_kind(found, "Service")}
    for item in of_kind(found, "Ingress"):
        paths = item["spec"]["rules"][0]["http"]["paths"]
        assert {path["backend"]["service"]["name"] for path in paths} <= services


def test_a_pod_monitor_finds_the_pods_that_have_metrics(tmp_path: Path) -> None:
    given = values(
        tmp_path,
        redis=REDIS,
        flower={"enabled": True, "existingSecret": "f"},
        metrics={"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    )
    found = objects(render(given))
    (monitor,) = of_kind(found, "PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    selector = monitor["spec"]["selector"]
    (also,) = selector["matchExpressions"]
    assert (also["key"], also["operator"]) == ("app.kubernetes.io/component", "In")
    selected = {
        part
        for part, pod in pods(found).items()
        if selector["matchLabels"].items() <= pod["metadata"]["labels"].items()
        and pod["metadata"]["labels"][also["key"]] in also["values"]
    }
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    offering = {
        part
        for part, pod in pods(found).items()
        if endpoint["port"] in {port["name"] for port in container(pod)["ports"]}
    }
    assert selected == offering == {"web", "worker", "beat", "observer"}


# --- what people expect ---------------------------------------------------------------------------


def test_what_is_said_about_pods_reaches_them() -> None:
    found = pods(objects(golden("everything")))
    web, worker = found["web"], found["worker"]
    for pod in (web, worker):
        assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert pod["spec"]["tolerations"][0]["key"] == "dedicated"
        assert "podAntiAffinity" in pod["spec"]["affinity"]
        assert pod["spec"]["topologySpreadConstraints"][0]["maxSkew"] == 1
        assert pod["metadata"]["annotations"]["example.com/team"] == "platform"
        assert pod["metadata"]["labels"]["team"] == "platform"
    assert web["spec"]["priorityClassName"] == "system-cluster-critical"
    assert environment(web)["TZ"] == "UTC"
    assert environment(worker)["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    assert {"mountPath": "/etc/mooring", "name": "hosts", "readOnly": True} in container(worker)[
        "volumeMounts"
    ]
    assert found["redis"]["metadata"]["annotations"].keys() == {"checksum/config", "example.com/team"}


def test_images_come_from_where_it_is_said(tmp_path: Path) -> None:
    found = {part: container(pod)["image"] for part, pod in pods(objects(golden("default"))).items()}
    assert found["worker"] == found["beat"] == found["observer"] == "ghcr.io/mooring/mooring:0.1.0"
    assert found["web"] == "ghcr.io/mooring/mooring-web:0.1.0"
    own = pods(objects(golden("external-redis")))
    assert container(own["worker"])["image"].startswith("registry.example.com/mooring/mooring@sha256:0123")
    assert container(own["web"])["image"].startswith("registry.example.com/mooring/mooring-web@sha256:fedc")
    assert own["web"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    given = values(tmp_path, redis=REDIS, image={"registry": "", "tag": "edge"})
    assert container(pods(objects(render(given)))["worker"])["image"] == "mooring/mooring:edge"


def test_workers_keep_their_mirrors_where_they_are_told_to() -> None:
    states = {component(item): item for item in of_kind(objects(golden("everything")), "StatefulSet")}
    (claim,) = states["worker"]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    lost = pods(objects(golden("default")))["worker"]
    assert {"name": "state", "emptyDir": {"sizeLimit": "10Gi"}} in lost["spec"]["volumes"]


@each
def test_the_role_at_home_gives_what_doctor_asks_for_and_no_more(name: str) -> None:
    roles = [
        role
        for role in of_kind(objects(golden(name)), "Role")
        if not role["metadata"]["name"].endswith(("-destination", "-observer", "-impersonate"))
    ]
    given = {
        (group, resource, verb, only)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for only in rule.get("resourceNames", [""])
    }
    asked = {(group, resource, verb, only) for group, resource, verbs, only in RIGHTS for verb in verbs}
    assert given == asked
