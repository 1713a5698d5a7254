"""A counterexample: its choices, and what happens, message by message."""

from collections.abc import Iterable, Iterator
from typing import Any

from cluster.explore import System, choices_of, taken_step
from cluster.explore.search import Step
from cluster.explore.system import KNOWN, POOL, State
from workloads.exchanges.effects import effect
from workloads.exchanges.lines import line
from workloads.explore.properties import Way


def told(system: System, steps: Iterable[Step], state: State | None = None) -> Iterator[str]:
    """A line for each message, what it changed, and what was found with it."""
    state = state or system.first
    for number, step in enumerate(steps, start=1):
        turn = system.turns[state[POOL]][step.turn]
        move = taken_step(system, state, step)
        effects = [text for text in map(effect, move.outcome.facts) if text]
        why = system.watch.why(state[KNOWN], move.outcome.facts)
        effects += [
            f"=> {name}: {why[name]}" if why.get(name) else f"=> {name}" for name in move.shown
        ]
        message = system.locals.messages.known[turn.message]
        yield f"{number:4}  {line(turn.source, turn.target, message, effects)}"
        state = move.state


def trace_of(system: System, way: Way) -> dict[str, Any]:
    """As --json has it."""
    both = (*way.steps, *way.cycle)
    choices = choices_of(system, both)
    begun = len(choices_of(system, way.steps))
    return {
        "moves": len(way.steps),
        "choices": choices[:begun],
        "cycle": choices[begun:],
        "cycle_moves": len(way.cycle),
        "transcript": list(told(system, both)),
    }
