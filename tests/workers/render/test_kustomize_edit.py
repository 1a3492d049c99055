"""What the options of an Application change is what `kustomize edit` would change."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring.errors import RenderFailed
from mooring.model.spec import Kustomize
from workers.render.kustomize_edit import Edits, edit

DIGEST = "sha256:24a0c4b4a4c0eb97a1aabb8e29f18e917d05abfe1b7a7c07857230879ce7d3d3"


def edited(kustomization: dict[str, Any], **options: Any) -> dict[str, Any]:
    edits = Edits.of(Kustomize.model_validate(options), lambda text: text)
    edit(kustomization, edits, edits.options.components)
    return kustomization


def by_the_tool(tools: Path, folder: Path, kustomization: dict[str, Any], *words: str) -> Any:
    file = folder / "kustomization.yaml"
    file.write_text(yaml.safe_dump(kustomization))
    done = subprocess.run([tools / "kustomize", "edit", *words], cwd=folder, capture_output=True, check=False)
    return yaml.safe_load(file.read_text()) if done.returncode == 0 else None


@pytest.mark.parametrize(
    "present",
    [
        [],
        [{"name": "web", "newTag": "1"}],
        [{"name": "web", "newName": "w", "newTag": "1", "digest": "sha256:a"}, {"name": "a", "newTag": "1"}],
        [{"name": "web", "newTag": "1"}, {"name": "web", "newTag": "2"}, {"name": "z", "tagSuffix": "-x"}],
    ],
)
@pytest.mark.parametrize(
    "images",
    [
        ["web:2"],
        ["web=other"],
        ["web=other:2"],
        ["web=host:5000/other"],
        ["web=host:5000/other:2"],
        ["host:5000/web:2"],
        [f"web@{DIGEST}"],
        [f"web=other:3@{DIGEST}"],
        [f"web=*@{DIGEST}"],
        ["web=*:2"],
        ["web=other:*"],
        ["web=other@*"],
        ["web:1", "web:2", "b:1"],
        ["=web:2"],
        ["web=other=more:1"],
        ["web:"],
        ["Web:1", "a-b:1", "a.b:1", "é:1"],
    ],
    ids=" ".join,
)
def test_images(tools: Path, tmp_path: Path, present: list[dict[str, str]], images: list[str]) -> None:
    kustomization = {"resources": ["a.yaml"]} | ({"images": present} if present else {})
    truth = by_the_tool(tools, tmp_path, kustomization, "set", "image", *images)
    assert truth is not None
    assert edited(kustomization, images=images)["images"] == truth["images"]


@pytest.mark.parametrize("image", ["web", "host:5000/web", "", "host/web"])
def test_an_image_that_changes_nothing_is_refused_by_both(tools: Path, tmp_path: Path, image: str) -> None:
    assert by_the_tool(tools, tmp_path, {"resources": ["a"]}, "set", "image", image) is None
    with pytest.raises(RenderFailed, match=r"spec\.source\.kustomize\.images"):
        edited({}, images=[image])


@pytest.mark.parametrize("present", [[], [{"name": "web", "count": 1}, {"name": "a", "count": 2}]])
def test_replicas(tools: Path, tmp_path: Path, present: list[dict[str, Any]]) -> None:
    kustomization = {"resources": ["a.yaml"]} | ({"replicas": present} if present else {})
    truth = by_the_tool(tools, tmp_path, kustomization, "set", "replicas", "web=3", "b=0", "web=4")
    wanted = [{"name": "web", "count": 3}, {"name": "b", "count": "0"}, {"name": "web", "count": "4"}]
    assert edited(kustomization, replicas=wanted)["replicas"] == truth["replicas"]
    with pytest.raises(RenderFailed, match="the count of web is no number: 'many'"):
        edited({}, replicas=[{"name": "web", "count": "many"}])


LABELS = [
    [],
    [{"pairs": {"team": "old"}}],
    [{"pairs": {"x": "1"}, "includeSelectors": True}, {"pairs": {"team": "old"}, "includeTemplates": True}],
    [{"pairs": {"x": "1"}}, {"pairs": {"team": "old"}}],
]


@pytest.mark.parametrize("present", LABELS)
@pytest.mark.parametrize("templates", [False, True])
@pytest.mark.parametrize("force", [False, True])
def test_labels_without_selector(
    tools: Path, tmp_path: Path, present: list[dict[str, Any]], templates: bool, force: bool
) -> None:
    kustomization = {"resources": ["a.yaml"]} | ({"labels": present} if present else {})
    flags = ["--without-selector", *(["--include-templates"] * templates), *(["--force"] * force)]
    truth = by_the_tool(tools, tmp_path, kustomization, "add", "label", *flags, "team:new", "tier:front")
    options: dict[str, Any] = {
        "commonLabels": {"team": "new", "tier": "front"},
        "labelWithoutSelector": True,
        "labelIncludeTemplates": templates,
        "forceCommonLabels": force,
    }
    if truth is None:
        with pytest.raises(RenderFailed, match="has team already; set forceCommonLabels to replace it"):
            edited(kustomization, **options)
    else:
        assert edited(kustomization, **options)["labels"] == truth["labels"]


@pytest.mark.parametrize(("field", "word"), [("Labels", "label"), ("Annotations", "annotation")])
@pytest.mark.parametrize("present", [{}, {"team": "old", "x": "1"}])
@pytest.mark.parametrize("force", [False, True])
def test_common_labels_and_annotations(
    tools: Path, tmp_path: Path, field: str, word: str, present: dict[str, str], force: bool
) -> None:
    name = f"common{field}"
    kustomization: dict[str, Any] = {"resources": ["a.yaml"]} | ({name: present} if present else {})
    told = {"team": "new: and more", "empty": ""}
    words = [f"{key}:{text}" for key, text in told.items()]
    truth = by_the_tool(tools, tmp_path, kustomization, "add", word, *(["--force"] * force), *words)
    options = {name: told, f"forceCommon{field}": force}
    if truth is None:
        with pytest.raises(RenderFailed, match=f"set forceCommon{field} to replace it"):
            edited(kustomization, **options)
    else:
        assert edited(kustomization, **options)[name] == truth[name]


def test_names_of_fields_count_in_any_case() -> None:
    kustomization = {"NamePrefix": "old-", "IMAGES": [{"Name": "web", "newTag": "1"}], "Namespace": "old"}
    assert edited(kustomization, namePrefix="new-", namespace="new", images=["web:2", "a:1"]) == {
        "namePrefix": "new-",
        "namespace": "new",
        "images": [{"name": "a", "newTag": "1"}, {"name": "web", "newTag": "2"}],
    }


def test_what_makes_no_sense_is_told_with_the_option() -> None:
    with pytest.raises(RenderFailed, match=r"kustomize\.labelIncludeTemplates: set labelWithoutSelector too"):
        edited({}, commonLabels={"a": "b"}, labelIncludeTemplates=True)
