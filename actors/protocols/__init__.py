"""Conversion protocols, one table each; guest_memfd (actors/gmem.py) drives whichever its scenario names."""

from actors.protocols.table import Event, Row, Stage, Table
from actors.protocols.two_phase import TWO_PHASE

PROTOCOLS: dict[str, Table] = {"two-phase": TWO_PHASE}

__all__ = ["PROTOCOLS", "TWO_PHASE", "Event", "Row", "Stage", "Table"]
