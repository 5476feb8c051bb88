"""Who uses the service meanwhile: what they ask, what an answer says, what they must find."""
