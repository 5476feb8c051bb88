"""Brings published face models into Paddle Serving's format: ``python -m convert NAME``."""
