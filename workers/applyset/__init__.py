"""Which objects an app has in a cluster, written down where they are: an ApplySet parent per app."""
