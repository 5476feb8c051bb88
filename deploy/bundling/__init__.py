"""Releases as one file, for machines without a network, and the commands to move between them."""
