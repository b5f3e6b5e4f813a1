"""The embedded platform: a private PostgreSQL, the five services and their workers on one machine, without root."""
