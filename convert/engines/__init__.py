"""The other ways to run a model than Paddle in fp32: OpenVINO's form of it, and what is right."""
