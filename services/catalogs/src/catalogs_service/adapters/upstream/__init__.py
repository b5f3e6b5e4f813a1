"""Asking remote services politely and surviving what they do."""
