"""Drift as people are told of it, and how often it is put back."""
