"""Numbers, one command each. `make bench` runs the main job's; the others say at their head how they are run."""
