"""How large the errors of positions really are.

In: residuals of pairs with the covariances they should have. Out: the factor alpha on the centroid errors and the
systematic scatter, with errors of their own; clipping in units of the modelled errors; the final chi-square.
"""

from astrometry_service.algorithms.error_model.terms import ErrorModel, total_covariance

__all__ = [
    "ErrorModel",
    "total_covariance",
]
