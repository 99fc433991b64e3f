"""Policies for Argo and Kustomize repositories."""

from gitops_policy.config import Config, ConfigError
from gitops_policy.engine import lint
from gitops_policy.findings import Exempted, Finding, Origin, Report, ResourceId, Severity
from gitops_policy.model import Document, Problem, Resource
from gitops_policy.reading.build import Build, render
from gitops_policy.reading.kustomization import RenderError
from gitops_policy.reading.manifests import ManifestError
from gitops_policy.registry import Rule, rule, rules
from gitops_policy.team_rules import RuleLoadError
from gitops_policy.world import Workspace, World

__all__ = [
    "Build",
    "Config",
    "ConfigError",
    "Document",
    "Exempted",
    "Finding",
    "ManifestError",
    "Origin",
    "Problem",
    "RenderError",
    "Report",
    "Resource",
    "ResourceId",
    "Rule",
    "RuleLoadError",
    "Severity",
    "Workspace",
    "World",
    "lint",
    "render",
    "rule",
    "rules",
]
