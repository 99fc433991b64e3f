"""What the endpoints of one process share."""

from dataclasses import dataclass

from inference_server.models.catalog import Catalog
from inference_server.observability.metrics import Metrics
from inference_server.scheduling.scheduler import Scheduler
from inference_server.settings import Settings


@dataclass
class State:
    """The parts of a running server; `draining` is set by SIGTERM."""

    settings: Settings
    metrics: Metrics
    catalog: Catalog
    scheduler: Scheduler
    draining: bool = False

    @property
    def ready(self) -> bool:
        """Whether traffic should be sent here."""
        return self.catalog.ready and not self.draining
