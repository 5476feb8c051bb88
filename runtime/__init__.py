"""Processes, sockets and locks: starting, watching and ending the service and its parts."""
