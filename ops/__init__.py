"""The pipeline's stages: one module a stage, named as in ``config.yml``."""
