"""How a GPU can be divided (MIG), and what of it tenants need."""
