"""Processes killed at random moments, and whether what was acknowledged is still true."""
