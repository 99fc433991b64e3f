"""Which registries images may come from is for the settings to say."""

from __future__ import annotations

from gitops_policy import Config, lint

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "web"},
    "spec": {"containers": [{"name": "web", "image": "registry.example.com/web:1"}]},
}


def found(config: Config) -> set[str]:
    return {finding.rule for finding in lint([POD], config).findings}


def test_nothing_is_said_of_registries_without_settings() -> None:
    assert not found(Config(profile="strict")) & {"image-registry", "blocked-image-registry"}


def test_no_registry_is_allowed_to_who_asks_without_settings() -> None:
    assert found(Config(only=("kubescape:C-0078",))) == {"image-registry"}


def test_an_allowed_registry_is_allowed() -> None:
    assert not found(Config(only=("image-registry",), registries=("registry.example.com",)))
