"""Which Applications exist, and what is said about them: in the home cluster, or in files and a ConfigMap."""
