"""What argocd-cm says of comparing: which objects it speaks of, and that what makes no sense is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.errors import Refused
from mooring.keys import ObjectKey
from mooring.model.spec import IgnoreDifference
from mooring.settings import Settings
from workers import argocd_cm
from workers.ignore import comparing
from workers.ignore.comparing import Comparing, KnownField
from workers.ignore.ignored import Ignore, ignoring

IGNORE = "resource.customizations.ignoreDifferences."
TYPES = "resource.customizations.knownTypeFields."
DEPLOYMENT = ObjectKey("apps", "Deployment", "shop", "web")
SERVICE = ObjectKey("", "Service", "shop", "web")
DOOR = ObjectKey("example.com", "Door", "shop", "front")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=str(tmp_path))


def read(config: dict[str, str]) -> Comparing:
    return comparing.read(comparing.written(config))


def said_of(key: ObjectKey, ignore: Ignore) -> list[list[str]]:
    """What the rules say of an object: pointers as they are taken apart, expressions, managers."""
    found = ignore.of(key)
    rules = found.rules if found else ()
    return [
        [*("/" + "/".join(p) for p in r.pointers), *(e.text for e in r.expressions), *r.managers]
        for r in rules
    ]


@pytest.mark.parametrize(
    ("config", "of"),
    [
        ({f"{IGNORE}apps_Deployment": "jsonPointers: [/spec/replicas]"}, {DEPLOYMENT: [["/spec/replicas"]]}),
        ({f"{IGNORE}Service": "jqPathExpressions: [.spec.ports]"}, {SERVICE: [[".spec.ports"]]}),
        (
            {f"{IGNORE}all": "managedFieldsManagers: [kube-controller-manager]"},
            {key: [["kube-controller-manager"]] for key in (DEPLOYMENT, SERVICE, DOOR)},
        ),
        (
            {
                "resource.customizations": "apps/Deployment: {ignoreDifferences: 'jsonPointers: [/a]'}\n"
                "'*.com/*': {ignoreDifferences: 'jsonPointers: [/b]', health.lua: 'return {}'}\n"
                "Service: {health.lua: 'return {}'}\n"
            },
            {DEPLOYMENT: [["/a"]], DOOR: [["/b"]]},
        ),
        (  # the newer way counts where both name a kind; what speaks of others stays
            {
                "resource.customizations": "apps/Deployment: {ignoreDifferences: 'jsonPointers: [/a]'}\n"
                "'*/*': {ignoreDifferences: 'jsonPointers: [/c]'}\n",
                f"{IGNORE}apps_Deployment": "jsonPointers: [/b]",
            },
            {DEPLOYMENT: [["/b"], ["/c"]], SERVICE: [["/c"]], DOOR: [["/c"]]},
        ),
        ({f"{IGNORE}apps_Deployment": ""}, {}),
        ({"resource.customizations.ignoreResourceUpdates.all": "jsonPointers: [/status]"}, {}),
    ],
)
def test_a_key_speaks_of_the_objects_of_its_kind(
    config: dict[str, str], of: dict[ObjectKey, list[list[str]]], settings: Settings
) -> None:
    ignore = ignoring((), settings, config)
    for key in (DEPLOYMENT, SERVICE, DOOR):
        assert sorted(said_of(key, ignore)) == of.get(key, []), key


def test_the_rules_of_an_app_and_those_of_all_apps_hold_together(settings: Settings) -> None:
    own = IgnoreDifference(group="apps", kind="Deployment", json_pointers=("/spec/paused",))
    config = {f"{IGNORE}apps_Deployment": "jsonPointers: [/spec/replicas]"}
    both = ignoring((own,), settings, config)
    assert said_of(DEPLOYMENT, both) == [["/spec/paused"], ["/spec/replicas"]]
    # Either is a part of what proves that nothing has drifted.
    words = [one.words for one in (both.of(DEPLOYMENT), ignoring((own,), settings).of(DEPLOYMENT)) if one]
    assert len(words) == 2 and words[0] != words[1]


def test_where_argocd_cm_says_nothing_no_object_has_a_rule(settings: Settings) -> None:
    others = {
        "url": "https://example.com",
        "resource.compareoptions": "ignoreResourceStatusField: none\nignoreAggregatedRoles: false\n",
        "resource.customizations.ignoreResourceUpdates.all": "jsonPointers: [/spec]",
        "resource.ignoreResourceUpdatesEnabled": "false",
    }
    ignore = ignoring((), settings, {**others, f"{IGNORE}other.io_Kind": "{}"})
    assert ignore.of(DEPLOYMENT) is ignore.of(DOOR) is None
    assert argocd_cm.edition(comparing.written(others)) == ""


def test_fields_of_known_types_are_those_that_are_named_and_those_of_a_rollout() -> None:
    legacy = "example.com/Wall:\n  knownTypeFields:\n  - {field: spec.limits, type: core/v1/ResourceList}\n"
    found = read(
        {
            f"{TYPES}example.com_Door": "- field: spec.template\n  type: core/v1/PodSpec\n",
            "resource.customizations": legacy,
        }
    )
    assert found.known["example.com", "Door"] == (KnownField(("spec", "template"), "core/v1/PodSpec"),)
    assert found.known["example.com", "Wall"] == (KnownField(("spec", "limits"), "core/v1/ResourceList"),)
    assert found.known["argoproj.io", "Rollout"][0].type == "core/v1/PodSpec"


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({f"{IGNORE}apps_Deployment": "a: {"}, f"{IGNORE}apps_Deployment: is no YAML: "),
        ({f"{IGNORE}apps_Deployment": "[/spec]"}, f"{IGNORE}apps_Deployment: is no mapping"),
        (
            {f"{IGNORE}apps_Deployment": "jsonPointer: [/spec]"},
            f"{IGNORE}apps_Deployment: 'jsonPointer' is no field of it: write jsonPointers, ",
        ),
        (
            {f"{IGNORE}apps_Deployment": "jsonPointers: /spec"},
            f"{IGNORE}apps_Deployment: jsonPointers: is no list of texts",
        ),
        (
            {f"{IGNORE}apps_Deployment": "jsonPointers: [/ok, spec]"},
            f"{IGNORE}apps_Deployment: jsonPointers[1]: 'spec' is no JSON pointer: ",
        ),
        (
            {f"{IGNORE}all": "jqPathExpressions: ['.spec[']"},
            f"{IGNORE}all: jqPathExpressions[0]: is no expression of jq: syntax error",
        ),
        (
            {f"{IGNORE}all": "jqPathExpressions: ['last(range(1e12))']"},
            f"{IGNORE}all: jqPathExpressions[0]: has not ended after 1 s",
        ),
        ({f"{IGNORE}a_b_C": "{}"}, f"{IGNORE}a_b_C: names no kind: "),
        ({"resource.customizations": "[a]"}, "resource.customizations: is no mapping"),
        (
            {"resource.customizations": "'[/*': {ignoreDifferences: 'jsonPointers: [/a]'}"},
            "resource.customizations: [/*: ignoreDifferences: group: '[' has a '[' that nothing ends",
        ),
        (
            {"resource.customizations": "apps/Deployment: {ignoreDifferences: {jsonPointers: [/a]}}"},
            "resource.customizations: apps/Deployment: ignoreDifferences is no text: write a block",
        ),
        ({f"{TYPES}a.b_C": "field: spec"}, f"{TYPES}a.b_C: is no list: "),
        ({f"{TYPES}a.b_C": "- {field: spec}"}, f"{TYPES}a.b_C[0]: needs field and type"),
        (
            {f"{TYPES}a.b_C": "- {field: spec, type: apps/v1/Deployment}"},
            f"{TYPES}a.b_C[0]: 'apps/v1/Deployment' is no type that is known: ",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_naming_the_key(
    config: dict[str, str], why: str, settings: Settings
) -> None:
    with pytest.raises(Refused) as refused:
        ignoring((), settings, config)
    assert str(refused.value).startswith(f"ConfigMap argocd-cm, {why}")
    assert refused.value.condition == "ComparisonError"


def test_an_edit_of_what_is_compared_is_one_of_all_apps() -> None:
    before = {f"{IGNORE}all": "jsonPointers: [/a]"}
    editions = [
        argocd_cm.edition(comparing.written(config))
        for config in (
            {},
            before,
            {f"{IGNORE}all": "jsonPointers: [/b]"},
            {**before, f"{TYPES}a.b_C": "- {field: spec, type: core/Quantity}"},
        )
    ]
    assert len(set(editions)) == len(editions)
