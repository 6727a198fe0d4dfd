"""The figures and films of the studies."""
