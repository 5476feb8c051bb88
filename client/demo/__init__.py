"""``python -m client.demo``: people are enrolled and found; part of the repository alone.

It starts a service where none answers, so that it is left out of what ``pip`` installs.
"""
