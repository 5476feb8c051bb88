"""Reads what Paddle Serving's tracer writes: which op limits the throughput, in one sentence.

``parse`` turns the file into intervals, ``analyse`` interprets one, ``files`` finds the text in a
file and its rotated predecessors; ``python -m tracer`` shows the result.
"""
