"""Statistics, charts and reports of benchmark results."""
