"""The TD guest: its vCPUs, what they convert, accept and use."""
