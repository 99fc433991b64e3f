"""What the endpoints of one process share."""

from dataclasses import dataclass

from inference_server.models.catalog import Catalog
from inference_server.observability.metrics import Metrics
from inference_server.scheduling.scheduler import Scheduler
from inference_server.settings import Settings
from inference_server.supervisor.place import here


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
        """Whether traffic should be sent here; a probe asks one worker only, and means all."""
        return self.catalog.ready and not self.draining and here().board.settled

    def on_reload(self, settings: Settings) -> None:
        """Take over the settings that may change while serving."""
        self.settings = settings
