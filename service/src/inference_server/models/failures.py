"""What can go wrong with a model, and ONNX Runtime's errors in one line."""


class ModelLoadError(Exception):
    """A model that cannot be made ready; `reason` is a metric label, the message is for people."""

    def __init__(self, reason: str, message: str, provider: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.provider = provider  # where it would have run, if that is known


class InferenceError(Exception):
    """ONNX Runtime failed while running a valid request; `memory`: it could not allocate."""

    def __init__(self, message: str, *, memory: bool = False) -> None:
        super().__init__(message)
        self.memory = memory


_ALLOCATION = (
    "Failed to allocate memory",
    "bad_alloc",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "out of memory",
)


def brief(error: BaseException) -> str:
    """The message in one line of bounded length."""
    return " ".join(str(error).split())[:300]


def is_allocation_failure(error: BaseException) -> bool:
    """Whether ONNX Runtime ran out of memory; it has no error class of its own for that."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in _ALLOCATION)
