"""``python -m deploy check``: what a server has of what the service needs.

Everything but the items about the installed service runs on a bare Python: nothing in here but
`command` and `probes.service` and its neighbours imports a package, and those do it late.
"""
