"""The operations of the face API, one file a subject; `gateway.routes` gives them their paths."""
