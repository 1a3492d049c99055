"""What a refused trial says of an object: it is wrong, or something of its sync is not there yet."""

from __future__ import annotations

import pytest

from mooring.errors import ClusterRefused, ClusterUnavailable, SchemaRefused
from mooring.keys import ObjectKey
from tests.workers.objects import key
from workers.awaits import awaits, untried

RBAC = "rbac.authorization.k8s.io"
SCHEDULING = "scheduling.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
POD = key("web", "Pod")
ACCOUNT = 'pods "web" is forbidden: error looking up service account shop/{0}: serviceaccount "{0}" not found'
DENIED = "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'frozen' with binding 'b' denied request"


def cluster_scoped(group: str, kind: str, name: str) -> ObjectKey:
    return ObjectKey(group, kind, "", name)


@pytest.mark.parametrize(
    ("text", "code", "of", "other"),
    [
        (ACCOUNT.format("runner"), 403, POD, key("runner", "ServiceAccount")),
        (ACCOUNT.format("web"), 403, POD, key("web", "ServiceAccount")),
        (
            'pods "web" is forbidden: no PriorityClass with name high was found',
            403,
            POD,
            cluster_scoped(SCHEDULING, "PriorityClass", "high"),
        ),
        (
            'pods "web" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1',
            403,
            POD,
            key("small", "ResourceQuota"),
        ),
        (
            'pods "web" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
            403,
            POD,
            key("any", "LimitRange"),
        ),
        (
            'pods "web" is forbidden: violates PodSecurity "restricted:latest": privileged',
            403,
            POD,
            cluster_scoped("", "Namespace", "shop"),
        ),
        (
            'roles.rbac.authorization.k8s.io "reader" not found',
            404,
            key("binding", "RoleBinding", RBAC),
            key("reader", "Role", RBAC),
        ),
        (
            'roles.rbac.authorization.k8s.io "reader" is forbidden: user "u" (groups=["g"]) is attempting to '
            "grant RBAC permissions not currently held: {}",
            403,
            key("reader", "Role", RBAC),
            key("binding", "RoleBinding", RBAC),
        ),
        (DENIED, 422, key("a"), cluster_scoped(ADMISSION, "ValidatingAdmissionPolicy", "frozen")),
        (
            'admission webhook "w.example.org" denied the request: ConfigMap "other" is not there',
            400,
            key("a"),
            key("other"),
        ),
    ],
)
def test_what_wants_another_object_of_its_sync_is_judged_when_it_is_written(
    text: str, code: int, of: ObjectKey, other: ObjectKey
) -> None:
    error = ClusterRefused(text, code=code)
    assert awaits(error, of, [of, other])
    assert not awaits(error, of, [of])
    assert not awaits(error, of, [of, key("unrelated", "Service")])


@pytest.mark.parametrize(
    "error",
    [
        # Its own fields, whatever else they speak of.
        ClusterRefused('ConfigMap "a" is invalid: data[other]: Invalid value: "configmap other"', code=422),
        SchemaRefused('.configmap: field not declared in schema "other"', code=422),
        ClusterRefused('configmaps "a" is forbidden: no', code=403),
        # The word is there, but the name of nothing.
        ClusterRefused('configmaps "a" is forbidden: configmap "other-one" is not there', code=403),
        ClusterRefused('configmaps "a" is forbidden: the other is not there', code=403),
    ],
)
def test_what_is_wrong_in_itself_is_refused_at_once(error: ClusterRefused) -> None:
    assert not awaits(error, key("a"), [key("a"), key("other"), key("any", "Service")])


def test_what_a_webhook_could_not_be_asked_about_is_not_judged() -> None:
    assert untried(ClusterUnavailable('failed calling webhook "w": no endpoints available for service "w"'))
    assert untried(ClusterRefused('admission webhook "w" does not support dry run', code=400))
    assert not untried(ClusterUnavailable("etcdserver: request timed out"))
