"""From fine runs to data sets: truth, coarse-graining, targets, splits, statistics."""
