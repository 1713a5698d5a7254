"""QEMU trace logs: their lines, and what a log says of its VM."""
