"""Paddle's own exports: taken over, rewritten where Paddle errs."""
