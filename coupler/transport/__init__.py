"""How exchanges travel between the ocean and the coupler."""
