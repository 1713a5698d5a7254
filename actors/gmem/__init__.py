"""guest_memfd: one inode, its shareability, folios and frames, and the conversions that it drives."""
