"""Messages and what they change, as people read them: golden transcripts, and the explorer's counterexamples."""
