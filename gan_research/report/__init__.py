"""Comparisons of many runs: records, statistics, tables, pages and W&B reports."""
