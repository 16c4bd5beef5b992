"""A second truth for the trainer: two-layer quasi-geostrophic turbulence on a doubly periodic beta-plane."""
