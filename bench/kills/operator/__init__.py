"""The commands of an operator, and what their ends say."""
