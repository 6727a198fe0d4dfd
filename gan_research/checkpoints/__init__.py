"""Checkpoints: their files, the classes that they may name, and rebuilding objects from descriptions."""
