"""The thin edge to the Kubernetes API: what can be asked, and the guards of every write."""
