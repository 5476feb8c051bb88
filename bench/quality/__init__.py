"""Parts of the benchmark of quality, angle and liveness."""
