"""What kustomize makes of a folder, for what deploy/kubernetes uses of it.

Resources, components, JSON patches, images and a namespace; anything else in a kustomization is an error.
"""

import copy
import re
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
_PARTS = {"apiVersion", "kind", "resources", "components", "patches", "images", "namespace"}


class KustomizeError(ValueError):
    """The kustomization has a part or a patch that this does not understand."""


def build(folder: Path) -> list[Manifest]:
    """The manifests that `kubectl apply -k` would apply."""
    return _apply(folder, [])


def _apply(folder: Path, manifests: list[Manifest]) -> list[Manifest]:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := kustomization.keys() - _PARTS:
        raise KustomizeError(f"{folder}: {sorted(unknown)}")
    for name in kustomization.get("resources", []):
        path = (folder / name).resolve()
        manifests += _apply(path, []) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    for name in kustomization.get("components", []):
        manifests = _apply((folder / name).resolve(), manifests)
    for patch in kustomization.get("patches", []):
        _patch(manifests, patch)
    for image in kustomization.get("images", []):
        _set_image(manifests, image)
    if namespace := kustomization.get("namespace"):
        for manifest in manifests:
            manifest["metadata"]["namespace"] = namespace
    return manifests


def _patch(manifests: list[Manifest], patch: Manifest) -> None:
    target = patch["target"]
    chosen = [
        manifest
        for manifest in manifests
        if manifest["kind"] == target["kind"] and re.fullmatch(target.get("name", ".*"), manifest["metadata"]["name"])
    ]
    if not chosen:
        raise KustomizeError(f"no manifest is the target {target}")
    for operation in yaml.safe_load(patch["patch"]):
        for manifest in chosen:
            *path, last = operation["path"].strip("/").split("/")
            parent: Any = manifest
            for step in path:
                parent = parent[int(step)] if isinstance(parent, list) else parent[step]
            if last not in parent or operation["op"] not in ("remove", "replace"):
                raise KustomizeError(f"{operation} of {manifest['kind']} {manifest['metadata']['name']}")
            if operation["op"] == "remove":
                del parent[last]
            else:
                parent[last] = copy.deepcopy(operation["value"])


def _set_image(part: Any, image: dict[str, str]) -> None:
    if isinstance(part, list):
        for each in part:
            _set_image(each, image)
    elif isinstance(part, dict):
        if part.get("image") == image["name"]:
            part["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"
        for value in part.values():
            _set_image(value, image)
