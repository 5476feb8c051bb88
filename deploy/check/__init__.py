"""``python -m deploy check``: what a server has of what the service needs.

Everything but the part about the installed service runs on a bare Python, before an installation:
`command`, `installed` and what these import need packages, and nothing else does at its top.
"""
