"""The explorer: every order of messages and every outcome of a fault point, with the actors that the engine runs."""

from cluster.explore.chances import Chances, NoChances
from cluster.explore.clock import NOW
from cluster.explore.network import Link, Pool
from cluster.explore.search import Limits, Search, Step, taken_step
from cluster.explore.system import Blind, Move, State, System, Watch

__all__ = [
    "NOW",
    "Blind",
    "Chances",
    "Limits",
    "Link",
    "Move",
    "NoChances",
    "Pool",
    "Search",
    "State",
    "Step",
    "System",
    "Watch",
    "taken_step",
]
