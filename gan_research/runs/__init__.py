"""Runs: their folders, records and loggers, and how they are started and resumed."""
