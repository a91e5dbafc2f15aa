"""The warp as TPU kernels: a source stays in a chip's fast memory while all its frames are read."""
