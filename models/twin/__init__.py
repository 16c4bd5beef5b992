"""The reference ocean's step in torch: the same terms in the same order, differentiable, batched over members."""
