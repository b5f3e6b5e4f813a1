"""Routes of auth by topic: public ones under ``/api/v1``, internal ones under ``/v1``."""
