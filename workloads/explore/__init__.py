"""A scenario under the explorer: every order and every outcome, and what the checks make of each."""
