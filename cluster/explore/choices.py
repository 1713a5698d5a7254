"""A run as a list of numbers from 1 on, one for each choice that was one: which message next, which outcome."""

from collections.abc import Iterable, Sequence

from cluster.explore.search import Step, taken_step
from cluster.explore.system import POOL, State, System


class ChoiceError(ValueError):
    """A number that names nothing that may be chosen."""


def choices_of(system: System, steps: Iterable[Step]) -> list[int]:
    """The numbers of these moves, from the first state on. What has no alternative has no number."""
    found: list[int] = []
    state = system.first
    for step in steps:
        turns = system.turns[state[POOL]]
        if len(turns) > 1:
            found.append(step.turn + 1)
        outcome = system.outcomes(state, turns[step.turn])[step.choice]
        found += [pick + 1 for pick in outcome.picks]
        state = taken_step(system, state, step).state
    return found


def steps_of(system: System, choices: Sequence[int]) -> list[Step]:
    """The moves that these numbers are, and those after them up to the next choice. ChoiceError if there are none."""
    found: list[Step] = []
    state, used = system.first, 0
    while system.turns[state[POOL]]:
        taken = next_step(system, state, choices, used)
        if taken is None:
            break
        step, used = taken
        found.append(step)
        state = taken_step(system, state, step).state
    if used < len(choices):
        raise ChoiceError(f"{len(choices)} choices, and the run is over after {used}")
    return found


def next_step(
    system: System, state: State, choices: Sequence[int], used: int
) -> tuple[Step, int] | None:
    """The next move and how many numbers are used then; None where they do not say which."""

    def pick(among: int) -> int:
        nonlocal used
        if among == 1:
            return 0
        if used == len(choices):
            return -1
        number = choices[used]
        used += 1
        if not 1 <= number <= among:
            raise ChoiceError(f"choice {used}: found {number}, expected 1 to {among}")
        return number - 1

    turns = system.turns[state[POOL]]
    turn = pick(len(turns))
    if turn < 0:
        return None
    outcomes = list(enumerate(system.outcomes(state, turns[turn])))
    place = 0
    while len(outcomes[0][1].picks) > place:
        widths = 1 + max(outcome.picks[place] for _, outcome in outcomes)
        chosen = pick(widths)
        if chosen < 0:
            return None
        outcomes = [each for each in outcomes if each[1].picks[place] == chosen]
        place += 1
    return Step(turn, outcomes[0][0]), used
