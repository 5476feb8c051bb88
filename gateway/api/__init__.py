"""The REST interfaces: which operations there are, their parameters, results and documents."""
