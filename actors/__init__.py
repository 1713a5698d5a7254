"""What is simulated: pure state machines of a confidential VM's memory consumers. No I/O, no clock, no chance."""
