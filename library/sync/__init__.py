"""Indexes kept up to date with the database: one an app, stored in files or in Milvus."""
