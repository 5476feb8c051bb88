"""Several services on one machine, each with its own processes, data, limits and keys."""
