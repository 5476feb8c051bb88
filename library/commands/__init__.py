"""The commands of ``python -m library``, one module each."""
