"""The operations of the face API, one file a subject; `gateway.table` gives them their paths."""
