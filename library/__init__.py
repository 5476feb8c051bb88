"""The face library: apps, groups, users and faces, and the search in them."""
