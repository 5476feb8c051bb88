"""Who may: keys, roles, rates, trusted networks; and what is written of what they did."""
