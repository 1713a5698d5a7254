"""Who places, takes in and moves VMs: the controller of a fleet and the agents of its hosts."""
