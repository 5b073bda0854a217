"""The commands: the only place that prints, exits, or reads the environment."""

import gc

# Loading modules allocates much and frees nothing; looking for cycles meanwhile was 8 % of a build of which nothing
# had changed. A long build allocates enough to be collected all the same.
gc.set_threshold(50_000, 20, 20)
