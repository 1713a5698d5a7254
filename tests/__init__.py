"""The tests of gmemsim; the folders mirror the packages, the rest go end to end."""
