"""A network as a graph, simplified and written as Paddle's program."""
