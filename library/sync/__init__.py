"""Indexes follow the truth: one for each app, filled from changes, kept in files or in Milvus."""
