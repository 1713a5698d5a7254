"""Statistics of experiments: intervals from one long run, warm-up, scalability, knees. SciPy inside functions."""
