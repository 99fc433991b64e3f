"""The parent of the workers: deals connections out, replaces the dead, passes signals on.

It forks, and has neither threads nor ONNX Runtime: a process that has made a session must not be
forked, since the session's threads and locks do not come along. Workers share the memory of what
was imported before, and load their models themselves.
"""

import contextlib
import gc
import logging
import multiprocessing
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkProcess
from types import FrameType

from inference_server import options
from inference_server.observability.families import EXITS
from inference_server.observability.store import Counter, Store
from inference_server.settings import InvalidSettingsError, Settings
from inference_server.supervisor.board import Board, Place
from inference_server.supervisor.quarantine import FAULTS, Quarantine

BACKOFF = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each replacement in a row
STEADY = 30.0  # a worker that lived that long starts the row afresh
LOOK = 1.0  # seconds between two looks at the heartbeats
GRACE = 5.0  # seconds for a worker to end by itself after its own limit
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_log = logging.getLogger(__name__)

Work = Callable[[Place, socket.socket], None]


@dataclass
class _Worker:
    """One place, and the process that works there; `process` is None until `due`."""

    place: Place
    process: ForkProcess | None = None
    channel: socket.socket | None = None
    sent: int = 0
    turn: int = 0
    beats: int = 0
    beaten: float = 0.0
    hangs: bool = False
    born: float = 0.0
    due: float = 0.0
    deaths: int = 0

    @property
    def open(self) -> int:
        """Connections that the worker has at present."""
        return self.sent - self.place.closed


class Supervisor:
    """Runs the workers until a signal; `run` gives the exit status."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        board: Board,
        quarantine: Quarantine,
        counts: Store,
        work: Work,
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._quarantine = quarantine
        self._work = work
        self._workers = [_Worker(place) for place in board.places]
        self._board = board
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []
        self._held: socket.socket | None = None
        self._end_of_drain: float | None = None
        self._kill_at: float | None = None
        self._status = 0
        self._turn = 0
        self._counts = counts

    def run(self) -> int:
        """Serve; 0 after a stop by signal, 1 where the workers cannot live."""
        wakeup, waker = socket.socketpair()
        for end in (wakeup, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._note)
        self._selector.register(wakeup, selectors.EVENT_READ, lambda: _empty(wakeup))
        self._listener.listen(2048)
        self._listener.setblocking(False)
        gc.collect()
        gc.freeze()  # a collection in a worker would copy the pages that it shares
        for worker in self._workers:
            self._start(worker)
        self._selector.register(self._listener, selectors.EVENT_READ, self._deal)
        while any(worker.process or worker.due for worker in self._workers):
            for key, _ in self._selector.select(self._patience()):
                key.data()
            self._answer_signals()
            self._keep_time()
        return self._status

    def _note(self, number: int, _: FrameType | None) -> None:
        self._signals.append(number)

    # --- workers

    def _start(self, worker: _Worker) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        worker.place.clear()
        worker.channel, worker.sent, worker.due, worker.hangs = ours, 0, 0.0, False
        worker.born = time.monotonic()
        process = multiprocessing.get_context("fork").Process(
            target=self._be_worker,
            args=(worker.place, theirs),
            name=f"worker-{worker.place.number}",
        )
        # A signal between the fork and the worker's own handlers would be lost on both sides.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        theirs.close()
        worker.process = process
        self._selector.register(
            process.sentinel, selectors.EVENT_READ, lambda: self._bury(worker, process)
        )

    def _be_worker(self, place: Place, channel: socket.socket) -> None:
        """In the child: close what is the parent's, so that the parent's end is seen as such."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all of us
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        for worker in self._workers:
            if worker.channel is not None:
                worker.channel.close()
        if self._held is not None:
            self._held.close()
        self._selector.close()
        self._listener.close()
        self._work(place, channel)

    def _bury(self, worker: _Worker, process: ForkProcess) -> None:
        """A worker has ended: say why, blame the model that ran, and plan the replacement."""
        self._selector.unregister(process.sentinel)
        process.join()
        code = process.exitcode or 0
        process.close()
        worker.process = None
        if worker.channel is not None:
            worker.channel.close()
            worker.channel = None
        if self._end_of_drain is not None:
            self._status = self._status or int(code not in (0, -signal.SIGTERM))
            return
        reason = "hang" if worker.hangs else _reason(code)
        self._counts.series(Counter, EXITS, reason).inc()
        _log.error("worker %d ended", worker.place.number, extra={"reason": reason})
        self._blame(worker.place, reason, fault=worker.hangs or -code in FAULTS)
        if code >= 0 and not self._board.settled:
            self._give_up(f"a worker could not start ({reason})")
            return
        lived = time.monotonic() - worker.born
        worker.deaths = 0 if lived > STEADY else worker.deaths + 1
        if worker.deaths > len(BACKOFF):
            self._give_up(f"a worker ended {worker.deaths} times in a row ({reason})")
            return
        worker.due = time.monotonic() + BACKOFF[max(0, worker.deaths - 1)]

    def _blame(self, place: Place, reason: str, *, fault: bool) -> None:
        convicted = self._quarantine.blame(place.suspects(), reason, fault)
        for version in convicted:
            _log.error("model quarantined: %s", version, extra={"reason": reason})
        if convicted:
            self._forward(signal.SIGHUP)  # the others have it in memory still

    def _give_up(self, reason: str) -> None:
        _log.error("giving up", extra={"reason": reason})
        self._begin_drain(0)
        self._status = 1

    def _forward(self, number: int) -> None:
        for worker in self._workers:
            if worker.process is not None and worker.process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, number)

    # --- connections

    def _deal(self, most: int = 64) -> None:
        """Give each new connection to the worker that has the fewest."""
        for _ in range(most):
            choice = self._choose()
            if choice is None:
                time.sleep(0.01)  # all are starting or full: the kernel holds what comes
                return
            if self._held is None:
                try:
                    self._held, _ = self._listener.accept()
                except OSError:
                    return
            if _send(choice, self._held):
                self._turn += 1
                choice.turn = self._turn
                self._held.close()
                self._held = None

    def _choose(self) -> _Worker | None:
        alive = [worker for worker in self._workers if worker.channel is not None]
        settled = [each for each in alive if each.place.settled and not each.place.draining]
        return min(settled or alive, key=lambda each: (each.open, each.turn), default=None)

    # --- signals and time

    def _answer_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP:
                self._reload()
            elif self._end_of_drain is None:
                self._begin_drain(self._settings.drain_seconds)
            else:
                self._end_of_drain = time.monotonic()

    def _reload(self) -> None:
        with contextlib.suppress(InvalidSettingsError):  # each worker says what is wrong
            self._settings, _, _ = options.take_over(self._settings, options.reread())
        self._forward(signal.SIGHUP)

    def _begin_drain(self, seconds: float) -> None:
        self._end_of_drain = time.monotonic() + seconds
        for worker in self._workers:
            worker.place.drain()
            worker.due = 0.0
        self._forward(signal.SIGTERM)

    def _patience(self) -> float:
        """Seconds until something is due."""
        moments = [worker.due for worker in self._workers if worker.due]
        moments.append(time.monotonic() + LOOK)
        if self._held is not None:
            moments.append(time.monotonic() + 0.01)
        if self._kill_at is not None:
            moments.append(self._kill_at)
        elif self._end_of_drain is not None:
            moments.append(self._end_of_drain)
        return max(0.0, min(moments) - time.monotonic())

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self._held is not None:
            self._deal()
        for worker in self._workers:
            if worker.due and worker.due <= now:
                self._start(worker)
            self._feel_pulse(worker, now)
        if self._kill_at is not None and self._kill_at <= now:
            _log.error("killing workers", extra={"reason": "they did not end in time"})
            self._forward(signal.SIGKILL)
            self._kill_at = now + GRACE
        elif self._kill_at is None and self._end_of_drain is not None and self._end_of_drain <= now:
            self._kill_at = now + self._settings.shutdown_seconds + GRACE
            self._stop_dealing()

    def _feel_pulse(self, worker: _Worker, now: float) -> None:
        """Kill a worker whose event loop stands still, in a model that hangs, say."""
        beats = worker.place.beats
        if beats != worker.beats or not worker.place.settled:
            worker.beats, worker.beaten = beats, now
        elif worker.process is not None and now - worker.beaten > self._settings.hang_seconds:
            _log.error("worker %d hangs", worker.place.number)
            worker.hangs, worker.beaten = True, now
            os.kill(worker.process.pid or 0, signal.SIGKILL)

    def _stop_dealing(self) -> None:
        """Hand over what has connected until now; the channels' end tells the workers to stop."""
        self._selector.unregister(self._listener)
        self._deal(most=100_000)
        self._listener.close()
        for worker in self._workers:
            if worker.channel is not None:
                worker.channel.close()
                worker.channel = None


def _send(worker: _Worker, connection: socket.socket) -> bool:
    assert worker.channel is not None  # noqa: S101
    try:
        socket.send_fds(worker.channel, [b"c"], [connection.fileno()])
    except BlockingIOError:
        return False
    except OSError:  # it has just died
        worker.channel.close()
        worker.channel = None
        return False
    worker.sent += 1
    return True


def _empty(wakeup: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while wakeup.recv(64):
            pass


def _reason(code: int) -> str:
    """`SIGSEGV` or `exit status 3`."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
