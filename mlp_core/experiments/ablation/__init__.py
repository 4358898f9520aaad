"""Interventions on the depth sweep."""
