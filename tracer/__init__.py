"""Reads what Paddle Serving's tracer writes: where the time goes, what limits, what to change.

``parse`` turns text into blocks and ``trace_files`` finds it in a file and its rotated
predecessors; ``timeline`` gives each block its place in time, ``period`` sums stretches of time
up (latencies with ``percentiles``), ``source`` puts these together. ``analyse`` judges a period,
``advice`` says what to change. ``terminal_view``, ``watch``, ``plot``, ``page`` and ``document``
present it.
"""
