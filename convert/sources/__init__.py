"""Where models come from: downloads, archives, npm, pip; what is not whole is refused."""
