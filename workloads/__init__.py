"""What is run and concluded: scenarios, traces, experiments, checkers, the command line."""
