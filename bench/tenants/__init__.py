"""What tenants of one machine do to each other."""
