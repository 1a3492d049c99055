"""A real Kubernetes control plane, Redis and Git server for the demo, the tests and the benchmarks."""
