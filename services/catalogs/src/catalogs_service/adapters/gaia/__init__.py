"""Gaia stars from outside: whole HEALPix tiles, from the archive or VizieR, kept on disk."""
