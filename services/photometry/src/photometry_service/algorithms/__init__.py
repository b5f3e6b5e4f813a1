"""The algorithms of photometry, a package for each step; the order of the layers is in pyproject.toml."""
