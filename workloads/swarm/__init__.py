"""The swarm: random scenarios, each from one seed, every check on; what fails is made small."""
