"""Twin experiments: a running ocean, a truth, analyses in between, and the increments that they leave."""
