"""Training with the real ocean in the loop, without its gradient (cn_mode = 'rollout_nograd')."""
