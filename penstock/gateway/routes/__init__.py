"""What each path does: one file per resource."""
