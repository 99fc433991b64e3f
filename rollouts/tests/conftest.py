from functools import cache

import pytest
from hypothesis import settings

from rollouts.tests.rendering import CLIMBS, Overlay, Rendered, copy_with_ladder, render

# The machine's cores are shared: a slow example is no finding.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Overlay:
    """The folder of production's overlay, with the ladder of this name."""
    return cache(lambda name: copy_with_ladder(tmp_path_factory.mktemp(name), *CLIMBS[name]))


@pytest.fixture(scope="session")
def rendered(overlay: Overlay) -> Rendered:
    """What that overlay renders."""
    return cache(lambda name: render(overlay(name)))
