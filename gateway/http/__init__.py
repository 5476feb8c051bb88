"""Bodies and forms of requests, read within limits, and the requests' ids and places."""
