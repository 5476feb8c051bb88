"""The indexes in memory, exact and approximate: faces in blocks, scanned, ranked, kept."""
