"""Clusters besides the home cluster: their Secrets, the ways to them, how they are, whose app is where."""
