"""The figures we claim, and the commands that produce them. Run one with `python -m benchmarks.<name>`."""
