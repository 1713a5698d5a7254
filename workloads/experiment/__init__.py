"""Experiments: questions that many runs answer. A TOML file says which points are run and what is made of them."""

from workloads.experiment.explain import explain, in_words, is_experiment
from workloads.experiment.read import decode, load
from workloads.experiment.records import Experiment

__all__ = ["Experiment", "decode", "explain", "in_words", "is_experiment", "load"]
