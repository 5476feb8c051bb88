"""Brings published face models into Paddle Serving's format: ``python -m convert NAME``."""

import os
import warnings

# Paddle 3 writes programs in a format of its own unless told otherwise before it is imported. What
# Paddle Serving, its converter and Paddle 2 read is `inference.pdmodel`.
os.environ.setdefault("FLAGS_enable_pir_api", "0")
# It warns of a compiler's cache that nothing here would use.
warnings.filterwarnings("ignore", "No ccache found")
