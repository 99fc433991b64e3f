"""What the endpoints of one process share."""

from dataclasses import dataclass

from inference_server.models.catalog import Catalog
from inference_server.models.quarantine import quarantined
from inference_server.observability.access import AccessLog
from inference_server.observability.metrics import Metrics
from inference_server.observability.prediction_log import PredictionLog
from inference_server.observability.traces import Tracer
from inference_server.scheduling.lanes import Scheduler
from inference_server.security.guard import Guard
from inference_server.settings import Settings
from inference_server.supervisor.place import here
from inference_server.transport.lane import FastLane


@dataclass
class State:
    """The parts of a running server."""

    settings: Settings
    metrics: Metrics
    catalog: Catalog
    scheduler: Scheduler
    guard: Guard
    tracer: Tracer
    access_log: AccessLog
    prediction_log: PredictionLog
    fast_lane: FastLane

    @property
    def draining(self) -> bool:
        """Whether a signal has asked the server to stop."""
        return self.fast_lane.draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self.fast_lane.draining = value

    @property
    def ready(self) -> bool:
        """Whether traffic should be sent here; a probe asks one worker only, and means all."""
        return self.catalog.ready and not self.draining and here().board.settled

    def on_reload(self, settings: Settings) -> None:
        """Take over the settings that may change while serving; read keys and quarantine again."""
        self.settings = settings
        self.access_log.sample(settings.log_sample_rate)
        self.guard.reload()
        for entry in self.catalog.entries:
            name, version = entry.file.name, entry.file.version
            if entry.model is not None and (reason := quarantined(name, version)):
                self.catalog.model_failed(name, version, f"quarantined: {reason}")
