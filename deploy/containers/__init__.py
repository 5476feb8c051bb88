"""The service in a container: its settings, its health, and what a build of the image runs."""
