"""Mixed load for a long time, and what it leaves behind in the service."""
