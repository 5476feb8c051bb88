"""What runs a network: Paddle or OpenVINO, in 32 bits or less; see `inference.engines.base`."""
