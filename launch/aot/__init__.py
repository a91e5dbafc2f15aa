"""Compiles the training step and the sampler for TPU pods on a machine that has none."""
