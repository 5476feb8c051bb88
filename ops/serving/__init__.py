"""Paddle Serving's DAG around the stages: ops, threads, admission, HTTP and gRPC."""
