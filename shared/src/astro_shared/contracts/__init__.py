"""Requests and responses between services, the tables they exchange and the settings of a reduction."""
