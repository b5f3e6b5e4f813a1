"""Catalogue files of many formats, read with bounds and without following any address in them."""
