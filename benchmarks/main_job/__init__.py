"""The main job, measured as a user meets it: `python -m benchmarks.main_job --help`."""
