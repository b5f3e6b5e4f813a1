"""Remote catalogues, one per file: how each is asked and how its answer is read."""
