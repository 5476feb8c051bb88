"""Processes, sockets and locks: starting, watching and ending the service; logs and traces."""
