"""What tests ask a gateway with, and what stands around it."""
