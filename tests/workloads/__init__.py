"""Tests of what is run and what is concluded."""
