"""What commands print: consoles, tables that fit, and a quiet end where nobody reads any more."""
