"""Where models come from: downloads, archives, npm; what is not whole is refused."""
