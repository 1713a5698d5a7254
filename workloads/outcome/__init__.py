"""What a run came to, for people and for programs: verdict, summary, files, report, terminal, metrics."""
