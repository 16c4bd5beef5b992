"""A differentiable emulator of the running ocean's step, fitted to what it did; its Jacobian trains closures beside it."""
