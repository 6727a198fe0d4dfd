"""Runs, compared: read from folders, sweeps or W&B; what their numbers say, and how surely."""
