"""Hostile requests, and what other clients see of the service meanwhile."""
