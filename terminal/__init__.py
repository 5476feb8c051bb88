"""The command lines of the programs in one style; what they print is made in `client/terminal/`."""
