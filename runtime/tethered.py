"""A Python program that ends with the process that started it: ``-m runtime.tethered FILE ...``.

The service outlives its parent, as a service should. A benchmark's must not: when the benchmark is
killed with SIGKILL, nobody is left to end it.
"""

from __future__ import annotations

import runpy
import sys

from runtime.process import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
