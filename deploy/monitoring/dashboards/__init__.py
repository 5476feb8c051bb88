"""Grafana's dashboards, written in Python and kept as the JSON that Grafana reads."""
