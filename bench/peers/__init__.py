"""Other services for the same work, to compare with, each in an environment of its own."""
