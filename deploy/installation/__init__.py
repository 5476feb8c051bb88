"""What puts the service onto a machine, in the standard library: it runs before all else."""
