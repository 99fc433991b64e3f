"""Jobs of the `job` provider: who runs them, and what the controller makes of them."""

from collections.abc import Mapping
from typing import Any, Protocol

from canary_gate.verdict import Phase


class Job(Protocol):
    """One started Job."""

    def state(self) -> tuple[Phase, str]:
        """Its phase and a message; raises ProviderError for a Job that is gone.

        Running; Successful once Complete; Failed once Failed; Inconclusive where the image of
        a container cannot be pulled.
        """
        ...

    def stop(self) -> None:
        """Delete the Job and its pods; raises ProviderError where that fails."""
        ...


class JobRunner(Protocol):
    """Runs the Jobs of an analysis."""

    def start(self, metric: str, manifest: Mapping[str, Any]) -> Job:
        """Start a Job of this metadata and spec; raises ProviderError where it is refused."""
        ...
