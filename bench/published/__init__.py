"""The published layout, to compare with: one op in process mode, nothing of this project's ops."""
