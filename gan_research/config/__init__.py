"""Configs: composed of the config tree, checked, and built."""
