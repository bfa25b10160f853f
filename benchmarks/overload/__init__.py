"""What happens beyond capacity: `python -m benchmarks.overload --help`."""
