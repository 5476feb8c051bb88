"""The pipeline's wire format: requests over HTTP and gRPC, and the reader of their answers."""
