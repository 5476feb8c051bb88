"""Measuring throughput: pictures, load generators, the raw limit, processor time, figures."""
