"""The database, the cryptography and the clock of auth."""
