"""The explorer: every order of messages and every outcome of a fault point, with the actors that the engine runs."""

from cluster.explore.chances import Chances, NoChances
from cluster.explore.choices import ChoiceError, choices_of, steps_of
from cluster.explore.clock import NEVER, NOW
from cluster.explore.lasso import Lasso, lassos
from cluster.explore.network import Link, Pool
from cluster.explore.passes import passes
from cluster.explore.reduction import Reduction
from cluster.explore.search import Limits, Search, Step, taken_step
from cluster.explore.symmetry import Exchange, Places, Symmetry, Unlike
from cluster.explore.system import Blind, Move, Names, State, System, Touch, Watch

__all__ = [
    "NEVER",
    "NOW",
    "Blind",
    "Chances",
    "ChoiceError",
    "Exchange",
    "Lasso",
    "Limits",
    "Link",
    "Move",
    "Names",
    "NoChances",
    "Places",
    "Pool",
    "Reduction",
    "Search",
    "State",
    "Step",
    "Symmetry",
    "System",
    "Touch",
    "Unlike",
    "Watch",
    "choices_of",
    "lassos",
    "passes",
    "steps_of",
    "taken_step",
]
