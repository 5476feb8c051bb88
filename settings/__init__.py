"""`config.yml`: sections, their limits and messages. The ground floor: it imports nothing above."""
