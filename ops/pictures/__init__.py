"""From a picture's text or bytes to pixels, within limits on bytes, pixels and time."""
