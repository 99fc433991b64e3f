"""Rules on Applications, asked of those as well that ApplicationSets make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from inspect import signature
from typing import Any

from gitops_policy.argo.application_sets import APPLICATION_SET, UnresolvedError, generated
from gitops_policy.argo.applications import APPLICATION, own_repositories
from gitops_policy.model import Problem, Resource
from gitops_policy.world import World, once

# What a rule is called with whose check is decorated with `also_of_sets`.
APPLICATIONS = (APPLICATION, APPLICATION_SET)

Check = Callable[..., Iterator[Problem]]


def also_of_sets(check: Check) -> Check:
    """Decorate a check of an Application, so that it judges an ApplicationSet's template too.

    A problem of a made Application stands at the same place of the template, once.
    """
    with_world = len(signature(check).parameters) > 1

    def each(resource: Resource, world: World) -> Iterator[Problem]:
        def ask(application: Resource) -> Iterator[Problem]:
            arguments: tuple[Any, ...] = (application, world) if with_world else (application,)
            return check(*arguments)

        if resource.group_kind == APPLICATION:
            yield from ask(resource)
            return
        seen = set()
        for application in _made(world).get(id(resource), ()):
            for problem in ask(application):
                path = ("spec", "template", *problem.path)
                if path not in seen:
                    seen.add(path)
                    message = f"Application {application.name!r}: {problem.message}"
                    yield replace(problem, resource=resource, path=path, message=message)

    each.__doc__, each.__name__, each.__module__ = check.__doc__, check.__name__, check.__module__
    return each


@once
def _made(world: World) -> dict[int, list[Resource]]:
    """Return what each ApplicationSet of the build makes, where that is known."""
    root = world.workspace.root if world.workspace else None
    own = own_repositories(world)
    found: dict[int, list[Resource]] = {}
    for application_set in world.index.of_kind(APPLICATION_SET):
        try:
            found[id(application_set)] = generated(application_set, root, own)
        except UnresolvedError:
            continue
    return found
