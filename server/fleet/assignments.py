"""Which utterance is on which engine, and which wait for one.

It knows no sockets and no clock, so that a simulation runs what a front runs.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from sayline_tts.server.fleet.placement import Candidate, choose

MAX_DEATHS = 3  # of engines, one after the other, with the same utterance and no frame in between


class Assignable(Protocol):
    """What an utterance tells. `id`: on the engine that it is on; `kind`: of that engine, None if it has not begun."""

    id: int

    @property
    def kind(self) -> str | None: ...

    @property
    def begun(self) -> bool: ...

    @property
    def between_parts(self) -> bool: ...


Remote = TypeVar("Remote", bound=Assignable)


class Placeable(Protocol[Remote]):
    """What an engine tells, and takes."""

    utterances: dict[int, Remote]

    @property
    def candidate(self) -> Candidate: ...

    def place(self, remote: Remote) -> None: ...

    def remove(self, remote: Remote) -> None: ...

    def forget(self, number: int) -> None: ...

    def take_all(self) -> list[Remote]: ...


Link = TypeVar("Link", bound=Placeable)  # type: ignore[type-arg]


class Assignments(Generic[Remote, Link]):
    """`engines` gives those that are connected; `on_placed` is called for what leaves the queue for one of them."""

    def __init__(
        self, engines: Callable[[], Sequence[Link]], on_placed: Callable[[Remote], None], draw: random.Random
    ) -> None:
        self._engines, self._on_placed, self._draw = engines, on_placed, draw
        self.queue: deque[Remote] = deque()  # that have not begun
        self.orphans: dict[Remote, float] = {}  # that have, and have lost their engine: when, in s
        self._where: dict[Remote, Link] = {}
        self._deaths: dict[Remote, int] = {}  # since their last frame

    @property
    def waiting(self) -> int:
        return len(self.queue) + len(self.orphans)

    def has_room(self) -> bool:
        """Whether an utterance more would be placed at once."""
        return not self.waiting and any(link.candidate.free > 0 for link in self._engines())

    def leave(self, remote: Remote) -> None:
        """Take it away from wherever it is."""
        if (link := self._where.pop(remote, None)) is not None and remote.id in link.utterances:
            link.remove(remote)
        if remote in self.queue:
            self.queue.remove(remote)
        self.orphans.pop(remote, None)
        self._deaths.pop(remote, None)

    def place_waiting(self) -> None:
        """Find an engine for all that wait, in order; those go first that have begun."""
        for remote in list(self.orphans):
            if not self._place(remote, resumes=True):
                break
            del self.orphans[remote]
        while self.queue and not self.orphans and self._place(self.queue[0], resumes=False):
            self._on_placed(self.queue.popleft())

    def made_frame(self, remote: Remote) -> None:
        """Its engine has survived it."""
        self._deaths.pop(remote, None)

    def ended(self, link: Link, number: int) -> None:
        """The engine has made all of it, or has failed to."""
        del self._where[link.utterances.pop(number)]

    def take_back(self, link: Link, remote: Remote, now_s: float) -> None:
        """The engine had no room, because other fronts were faster: it waits for another one."""
        self.ended(link, remote.id)
        if remote.begun:
            self.orphans.setdefault(remote, now_s)
        else:
            self.queue.appendleft(remote)

    def lose(self, link: Link, died: bool, now_s: float) -> tuple[list[Remote], list[Remote]]:
        """Take everything away from an engine that is lost; `place_waiting` has it go on elsewhere.

        `died`: not left, but gone by itself. Returns what was being spoken, and what is not tried again, because
        `MAX_DEATHS` engines have died with it.
        """
        moved, poison = [], []
        for remote in link.take_all():
            del self._where[remote]
            deaths = self._deaths[remote] = self._deaths.get(remote, 0) + died
            if deaths >= MAX_DEATHS:
                poison.append(remote)
            elif remote.begun:
                self.orphans[remote] = now_s
                moved.append(remote)
            else:
                self.queue.appendleft(remote)
        return moved, poison

    def move_away(self, link: Link) -> int:
        """Move what is between two parts of its text away from an engine that drains, if there is room elsewhere.

        Returns how many.
        """
        moved = 0
        for remote in [each for each in link.utterances.values() if each.between_parts and each.kind is not None]:
            number = remote.id
            if not self._place(remote, resumes=True):
                break
            link.utterances.pop(number)
            link.forget(number)
            moved += 1
        return moved

    def take_overdue(self, before_s: float) -> Iterable[Remote]:
        """Take out those that have waited for an engine since a time before this."""
        overdue = [remote for remote, since_s in self.orphans.items() if since_s < before_s]
        for remote in overdue:
            del self.orphans[remote]
        return overdue

    def _place(self, remote: Remote, resumes: bool) -> bool:
        kind, here = remote.kind if resumes else None, self._where.get(remote)
        engines = [link for link in self._engines() if link is not here]
        link = choose(engines, lambda each: each.candidate, self._draw, kind)
        if link is None:
            return False
        self._where[remote] = link
        link.place(remote)
        return True
