"""Accounts, sessions, tokens and what is said about them; no I/O."""
