"""What a tenant file is for others: containers, systemd, proxies, Prometheus, logrotate."""
