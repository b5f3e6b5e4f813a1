"""Fakes, synthetic skies and frames, and yardsticks that any test may use.

- ``skies``, ``optics``, ``profiles``, ``defects``, ``exposures``, ``catalogs``, ``frames``: frames of known truth
- ``star_lists``: star lists without pixels, for tests of matchers
- ``truth``: completeness, bias, scatter over the Cramer-Rao bound, errors of a solution
- ``fits_corpus``: hostile and odd FITS files
"""
