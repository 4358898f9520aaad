"""Polynomial: one linear layer on all monomials."""
