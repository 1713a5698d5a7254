"""What is run and concluded: scenarios, traces, experiments, checkers, the command line."""

__version__ = "0.1.0"
