"""The explorer: every order of messages and every outcome of a fault point, with the actors that the engine runs."""

from cluster.explore.chances import Chances, NoChances
from cluster.explore.choices import ChoiceError, choices_of, steps_of
from cluster.explore.clock import NEVER, NOW
from cluster.explore.lasso import Lasso, lassos
from cluster.explore.network import Link, Pool
from cluster.explore.search import Limits, Search, Step, taken_step
from cluster.explore.system import Blind, Move, Names, State, System, Watch

__all__ = [
    "NEVER",
    "NOW",
    "Blind",
    "Chances",
    "ChoiceError",
    "Lasso",
    "Limits",
    "Link",
    "Move",
    "Names",
    "NoChances",
    "Pool",
    "Search",
    "State",
    "Step",
    "System",
    "Watch",
    "choices_of",
    "lassos",
    "steps_of",
    "taken_step",
]
