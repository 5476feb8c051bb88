"""Clients of other Pythons and packages, and servers for this project's own."""
