"""The running system: receives fields from an ocean model, runs networks, returns tendencies."""
