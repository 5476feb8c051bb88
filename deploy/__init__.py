"""The service as a product on a server: checks, installation, tenants, monitoring, upgrades."""
