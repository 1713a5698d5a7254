"""The engine on models that queueing theory has solved: `gmemsim theory` (docs/theory.md)."""
