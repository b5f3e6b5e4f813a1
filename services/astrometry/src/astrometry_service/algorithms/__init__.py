"""The algorithms of astrometry, a package for each task; the order of the layers is in pyproject.toml."""
