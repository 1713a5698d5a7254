"""Locks that queue, and what is told of them."""
