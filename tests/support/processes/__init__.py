"""Processes as tests start, cut off and watch them."""
