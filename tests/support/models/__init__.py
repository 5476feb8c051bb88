"""Models for tests: small ones, empty ones, and references for the converter."""
