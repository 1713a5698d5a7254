"""Statistics of experiments, against known values."""
