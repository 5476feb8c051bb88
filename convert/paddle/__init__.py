"""Paddle's own exports: taken over, read back as a graph, rewritten where Paddle errs."""
