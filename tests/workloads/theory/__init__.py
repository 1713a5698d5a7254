"""The engine on queues that theory has solved."""
