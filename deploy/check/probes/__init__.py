"""What is looked at, a subject a file; none of them judges but by a requirement's data."""
