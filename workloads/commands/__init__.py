"""The commands of `gmemsim`, by what they are for."""
