"""Closed-form and trained networks, one file per family."""
