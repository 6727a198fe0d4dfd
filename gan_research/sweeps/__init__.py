"""Sweeps: many runs, their searches, their processes, and their results."""
