"""Where utterances are, without sockets and clocks."""

import random
from dataclasses import dataclass, field

from sayline_tts.server.fleet.assignments import MAX_DEATHS, Assignments
from sayline_tts.server.fleet.placement import Candidate
from sayline_tts.server.fleet.wire import Load


@dataclass(eq=False)
class Speech:
    id: int = 0
    kind: str | None = None
    begun: bool = False
    between_parts: bool = False


@dataclass(eq=False)
class Machine:
    capacity: int = 2
    draining: bool = False
    utterances: dict[int, Speech] = field(default_factory=dict)
    forgotten: list[int] = field(default_factory=list)
    numbers: int = 0

    @property
    def candidate(self) -> Candidate:
        speaking = len(self.utterances)
        load = Load(self.capacity, speaking, 0, self.capacity, speaking, 0, 1, 0, 0.0, self.draining)
        return Candidate("cpu", load, 0)

    def place(self, remote: Speech) -> None:
        self.numbers += 1
        remote.id, remote.kind = self.numbers, "cpu"
        self.utterances[remote.id] = remote

    def remove(self, remote: Speech) -> None:
        del self.utterances[remote.id]

    def forget(self, number: int) -> None:
        self.forgotten.append(number)

    def take_all(self) -> list[Speech]:
        taken = list(self.utterances.values())
        self.utterances.clear()
        return taken


def assignments_of(*machines: Machine) -> tuple[Assignments[Speech, Machine], list[Speech]]:
    placed: list[Speech] = []
    return Assignments(lambda: machines, placed.append, random.Random(0)), placed


def add(assignments: Assignments[Speech, Machine], *speeches: Speech) -> None:
    assignments.queue.extend(speeches)
    assignments.place_waiting()


def test_utterances_wait_in_order_and_leave_the_queue_or_the_engine() -> None:
    machine, speeches = Machine(), [Speech() for _ in range(4)]
    assignments, placed = assignments_of(machine)
    assert assignments.has_room()
    add(assignments, *speeches)
    assert placed == speeches[:2]
    assert (assignments.waiting, assignments.has_room()) == (2, False)
    assignments.leave(speeches[2])
    assignments.leave(speeches[0])
    assignments.place_waiting()
    assert list(machine.utterances.values()) == [speeches[1], speeches[3]]
    assert assignments.waiting == 0


def test_what_has_begun_goes_first_and_waits_for_a_slot() -> None:
    first, second = Machine(1), Machine(1)
    assignments, _ = assignments_of(first, second)
    speeches = [Speech(), Speech(), Speech()]
    add(assignments, *speeches)
    [begun] = first.utterances.values()
    begun.begun = True
    first.capacity = 0
    assert assignments.lose(first, True, 5.0) == ([begun], [])
    assignments.place_waiting()
    assert list(assignments.orphans) == [begun]
    assert list(assignments.take_overdue(5.0)) == []
    first.capacity = 1
    assignments.place_waiting()
    assert list(first.utterances.values()) == [begun]
    assert list(assignments.queue) == [speeches[2]]


def test_engine_that_has_no_room_gives_back_what_it_was_given() -> None:
    machine = Machine()
    assignments, _ = assignments_of(machine)
    new, moved = Speech(), Speech()
    add(assignments, new, moved)
    moved.begun = True
    machine.capacity = 0
    assignments.take_back(machine, new, 3.0)
    assignments.take_back(machine, moved, 4.0)
    assert (list(assignments.queue), assignments.orphans) == ([new], {moved: 4.0})
    assert list(assignments.take_overdue(4.5)) == [moved]
    assert assignments.orphans == {}


def test_utterance_that_engines_die_of_is_given_up() -> None:
    machine, speech = Machine(), Speech()
    assignments, _ = assignments_of(machine)
    add(assignments, speech)
    for _ in range(MAX_DEATHS - 1):
        assert assignments.lose(machine, True, 0.0) == ([], [])
        assignments.place_waiting()
    assignments.made_frame(speech)
    for _ in range(MAX_DEATHS - 1):
        assignments.lose(machine, True, 0.0)
        assignments.place_waiting()
    assignments.lose(machine, False, 0.0)  # it was left, and has not died
    assignments.place_waiting()
    assert assignments.lose(machine, True, 0.0) == ([], [speech])
    assert assignments.waiting == 0


def test_draining_engine_keeps_what_has_no_room_elsewhere() -> None:
    old, new = Machine(3), Machine(0)
    assignments, _ = assignments_of(old, new)
    speeches = [Speech(between_parts=True), Speech(), Speech(between_parts=True)]
    add(assignments, *speeches)
    old.draining, new.capacity = True, 1
    assert assignments.move_away(old) == 1
    assert list(old.utterances.values()) == speeches[1:]
    assert (list(new.utterances.values()), old.forgotten) == (speeches[:1], [1])
    assignments.ended(new, speeches[0].id)
    assert assignments.move_away(old) == 1
    assert list(old.utterances.values()) == [speeches[1]]
