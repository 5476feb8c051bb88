"""What watches the service: Prometheus' rules, Grafana's dashboards."""
