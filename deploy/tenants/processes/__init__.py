"""Tenants as processes of this machine: started, watched, limited and ended."""
