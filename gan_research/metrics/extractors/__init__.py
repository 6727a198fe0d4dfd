"""Feature extractors; `base.EXTRACTORS` has them by name."""
