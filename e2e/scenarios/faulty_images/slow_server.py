"""An image that becomes slow: after 250 answers, one of three takes 0.7 s longer."""

import asyncio
import itertools
import sys

from inference_server.cli import main
from inference_server.inference.call import Call
from inference_server.inference.pipeline import Pipeline

# More than the load of an analysis sends before the canary has a user.
SOUND_ANSWERS = 250
SLOW_SECONDS = 0.7
ONE_OF = 3

_answer = Pipeline.answer
_numbers = itertools.count(1)


def answer_late(pipeline: Pipeline, call: Call) -> None:
    """Answer now, or from the event loop a moment later: other requests do not wait."""
    number = next(_numbers)
    if number > SOUND_ANSWERS and number % ONE_OF == 0:
        asyncio.get_running_loop().call_later(SLOW_SECONDS, _answer, pipeline, call)
    else:
        _answer(pipeline, call)


Pipeline.answer = answer_late  # type: ignore[assignment, method-assign]

if __name__ == "__main__":
    sys.exit(main())
