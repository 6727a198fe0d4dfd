"""Checkpoints: their files, the classes that they may name, and how these are built again."""
