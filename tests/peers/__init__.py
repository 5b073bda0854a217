"""Real programs that tests and benchmarks set us beside: registries, dockerd, a Debian base, an ordinary user."""
