"""What stops a command, and with which exit status."""


class PipelineError(Exception):
    """Input that cannot be used, or a registry that cannot be reached; exit status 2."""

    exit_status = 2


class GateError(PipelineError):
    """A model that may not be registered; exit status 1."""

    exit_status = 1
