"""How it is executed: virtual time, partitions, Ray, faults, checkpoints, metrics."""
