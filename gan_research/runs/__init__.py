"""Runs: their folders and records, the loggers that mirror these, and how they begin and go on."""
