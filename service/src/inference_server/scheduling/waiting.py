"""The requests of a lane that wait, in the order in which they will run."""

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import chain
from math import inf

from inference_server.scheduling.batch import Batch, Request

# A request of priority p runs as if it had come p times these seconds later: none starves.
HANDICAP_SECONDS = 1.0


class WaitingRequests:
    """First come, first served within a priority; several threads need a lock around it."""

    __slots__ = ("_gone", "_levels", "_simple", "requests", "rows")

    def __init__(self, levels: int, uniform: bool) -> None:
        """`uniform`: any two requests fit into one batch, so that keys need no comparison."""
        self._levels: list[deque[Request]] = [deque() for _ in range(levels)]
        self._simple = uniform and levels == 1
        self._gone = 0
        self.requests = 0
        self.rows = 0

    def put(self, request: Request) -> None:
        """Let a request wait behind the others of its priority."""
        request.waiting = self
        self._levels[request.level].append(request)
        self.requests += 1
        self.rows += request.rows

    def put_back_alone(self, requests: Iterable[Request]) -> None:
        """Let requests that were taken together run next, each by itself."""
        self._sweep()  # of their old places, where they would be found a second time
        for request in reversed(list(requests)):
            request.alone = True
            request.waiting = self
            self._levels[request.level].appendleft(request)
            self.requests += 1
            self.rows += request.rows

    def take(self, limit: int, now: float) -> Batch:
        """The next batch: at most `limit` rows, or one request that is larger.

        It has no requests where none waits; those whose deadline passed are its `late` ones.
        """
        return self._take_first(limit, now) if self._simple else self._take_matching(limit, now)

    def _take_first(self, limit: int, now: float) -> Batch:
        queue = self._levels[0]
        taken: list[Request] = []
        late: list[Request] = []
        rows = seen = 0
        while queue:
            request = queue[0]
            if request.waiting is None:
                queue.popleft()
                self._gone -= 1
                continue
            if request.deadline <= now:
                late.append(request)
            elif not taken:
                taken.append(request)
                rows = request.rows
            elif rows + request.rows > limit or request.alone or taken[0].alone:
                break
            else:
                taken.append(request)
                rows += request.rows
            queue.popleft()
            request.waiting = None
            seen += request.rows
        self.requests -= len(taken) + len(late)
        self.rows -= seen
        return Batch(taken, rows, late)

    def _take_matching(self, limit: int, now: float) -> Batch:
        batch = Batch([], 0, [])
        taken = batch.requests
        for request in self._in_order():
            if request.deadline <= now:
                batch.late.append(request)
            elif not taken:
                taken.append(request)
                batch.rows = request.rows
                if request.alone:
                    break
            elif request.key == taken[0].key:
                if batch.rows + request.rows > limit or request.alone:
                    break
                taken.append(request)
                batch.rows += request.rows
        for request in chain(taken, batch.late):
            self._remove(request)
        return batch

    def _in_order(self) -> Iterator[Request]:
        for queue in self._levels:
            while queue and queue[0].waiting is None:
                queue.popleft()
                self._gone -= 1
        filled = [queue for queue in self._levels if queue]
        ordered = merge(*filled, key=_rank) if len(filled) > 1 else chain(*filled)
        return (request for request in ordered if request.waiting is not None)

    def forget(self, request: Request) -> None:
        """Drop a request that waits, and what it would have fed."""
        request.feeds = {}
        self._remove(request)

    def _remove(self, request: Request) -> None:
        """Its place in the queue is swept up later."""
        request.waiting = None
        self.requests -= 1
        self.rows -= request.rows
        self._gone += 1
        if self._gone > self.requests + 64:
            self._sweep()

    def _sweep(self) -> None:
        self._levels = [deque(r for r in queue if r.waiting is not None) for queue in self._levels]
        self._gone = 0

    def expire(self, now: float) -> tuple[list[Request], float]:
        """Drop and return those whose deadline has passed, and the next deadline."""
        late = []
        earliest = inf
        for request in chain(*self._levels):
            if request.waiting is not None:
                if request.deadline <= now:
                    late.append(request)
                elif request.deadline < earliest:
                    earliest = request.deadline
        for request in late:
            self.forget(request)
        return late, earliest

    def clear(self) -> list[Request]:
        """Drop and return everything that waits."""
        waiting = [request for request in chain(*self._levels) if request.waiting is not None]
        for request in waiting:
            self.forget(request)
        return waiting

    def oldest(self) -> float:
        """When the request that has waited longest came; infinite where none waits."""
        heads = (next((r for r in queue if r.waiting is not None), None) for queue in self._levels)
        return min((head.arrived for head in heads if head is not None), default=inf)


def _rank(request: Request) -> float:
    return request.arrived + request.level * HANDICAP_SECONDS
