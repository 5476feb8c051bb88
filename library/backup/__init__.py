"""Backups of the library's database, made and restored while it is in use."""
