"""Measures us beside buildah, dockerd's BuildKit and the bare work: `make bench`, `make bench-quick`."""
