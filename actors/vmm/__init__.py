"""The VMM of a VM: conversions, retries, listeners, and its end."""
