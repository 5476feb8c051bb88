"""The command lines: the two client scripts, `make demo`, what they print and draw."""
