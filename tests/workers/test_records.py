"""What Mooring keeps about itself: no application writes or deletes it, whatever its repository says."""

from __future__ import annotations

import pytest

from mooring.keys import ObjectKey
from mooring.names import APPLYSET_TOOLING
from tests.workers.objects import APP, HERE, desired, key, live, ours
from tests.workers.test_plan import APPROVED, BY_HAND, CREATED, planned, pruned, reasons, steps
from workers.applyset.parent import parent_name
from workers.plan import Permission

IDENTITY = key("mooring-installation", "Secret", namespace="mooring")
INVENTORY = key(parent_name(HERE, APP), namespace="mooring")
PINNED = key(f"mooring-render-{HERE}-0123-4567-0", "Secret", namespace="mooring")
ELSEWHERE = key(parent_name(HERE, APP), namespace="other")
HOME = key("mooring", "Namespace")
APPLICATIONS = key("applications.argoproj.io", "CustomResourceDefinition", "apiextensions.k8s.io")
WEB = key("web", "Deployment", "apps")


@pytest.mark.parametrize("record", [IDENTITY, INVENTORY, PINNED, ELSEWHERE], ids=str)
def test_an_app_that_renders_a_record_is_refused_whether_it_exists_or_not(record: ObjectKey) -> None:
    for objects in ([], [live(record)], [ours(record)]):
        found = planned([desired(record), desired(WEB)], objects, absent=[record, WEB])
        assert [step.key for step in found.refused] == [record]
        assert [step.key for step in steps(found.writes)] == [WEB], "the rest goes on"
        assert record not in found.grow
        assert "no application may have it" in found.notices[0].message


def test_the_inventory_of_another_installation_is_not_taken_over() -> None:
    record = key("mooring-elsewhr2-mooring.shop")
    found = planned([desired(record)], [live(record, annotations={APPLYSET_TOOLING: "mooring/v9"})])
    assert [step.key for step in found.refused] == [record]


@pytest.mark.parametrize("record", [IDENTITY, INVENTORY, PINNED, HOME, APPLICATIONS], ids=str)
@pytest.mark.parametrize("permission", [BY_HAND, APPROVED], ids=["by hand", "approved"])
def test_no_record_is_pruned_even_when_the_inventory_has_it_and_somebody_asks(
    record: ObjectKey, permission: Permission
) -> None:
    inventory = {record: CREATED, WEB: CREATED}
    found = planned([], [ours(record), ours(WEB)], inventory, permission=permission)
    assert pruned(found) == {WEB}
    assert "by hand" in reasons(found)[record] or "no application" in reasons(found)[record]


def test_the_home_namespace_and_the_kinds_may_well_be_in_git() -> None:
    found = planned([desired(HOME), desired(APPLICATIONS)], absent=[HOME, APPLICATIONS])
    assert not found.refused


@pytest.mark.parametrize("name", ["mooring-frontend-config", "mooring-here", "xmooring-here-a"])
def test_a_name_that_is_merely_alike_is_an_object_like_any_other(name: str) -> None:
    assert not planned([desired(key(name))], absent=[key(name)]).refused
    assert not planned([desired(key(name, "Secret"))], absent=[key(name, "Secret")]).refused
