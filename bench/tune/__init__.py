"""Finding the settings that are best on this machine, and writing them into config.yml."""
