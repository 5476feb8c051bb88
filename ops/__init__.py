"""The pipeline: its stages, the requests that pass through them, and who makes their workers."""
