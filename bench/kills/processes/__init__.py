"""Programs that the bench starts and kills, and what answers at the gateway's address."""
