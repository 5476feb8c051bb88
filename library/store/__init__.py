"""The truth about people and faces in SQL: enrolling, listing, removing, changes, upkeep."""
