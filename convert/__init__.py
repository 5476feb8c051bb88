"""Brings published face models into Paddle Serving's format: ``python -m convert NAME``."""

import os

# Paddle 3 writes programs in a format of its own unless told otherwise before it is imported. What
# Paddle Serving, its converter and Paddle 2 read is `inference.pdmodel`.
os.environ.setdefault("FLAGS_enable_pir_api", "0")
