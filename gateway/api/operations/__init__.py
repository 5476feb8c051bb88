"""The operations of the face API, one file a subject; `operations_table` gives them their paths."""
