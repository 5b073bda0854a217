"""The tables of the index, and the steps from each version of them to the next.

`PRAGMA user_version` says which version a file has; a newer one than we know is refused, never guessed at.
Times are nanoseconds since the epoch. Version 1:

    layers        one row a layer: a base image's (`base`), a step's result (`built`), a merged block (`merged`)
                  dir:   name below layers/ of its unpacked directory, NULL when there is none
                  boot:  the boot during which dir was written, NULL once it is known to be on disk
                  stack: digest of the ids it was built upon
    layer_blobs   the packed forms of a layer, as msgpack'ed descriptors
    parents       layer_id cannot be used without parent_id
    images        reference -> msgpack'ed descriptor of a manifest or an index
    records       cache key -> what builder.cache stored; gone together with its layer
    builds        history: what builder.engine stored, by build
    file_digests  the stat cache of contexts
    cache_mounts  directories below caches/ that RUN --mount=type=cache fills
    settings      small values by name; also parsed and checked Dockerfiles, and where blobs were pushed to
"""

from __future__ import annotations

VERSION = 1

EMPTY_ID = "empty"
"""The id of the layer that holds nothing; its row is always there."""

_VERSION_1 = """
CREATE TABLE layers(
    id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, diff_id TEXT, origin TEXT, dir TEXT, boot TEXT, stack TEXT NOT NULL,
    size INTEGER NOT NULL, created_ns INTEGER NOT NULL, used_ns INTEGER NOT NULL, note TEXT NOT NULL);
CREATE INDEX layers_boot ON layers(boot) WHERE boot IS NOT NULL;
CREATE INDEX layers_diff_id ON layers(diff_id);
CREATE TABLE layer_blobs(
    layer_id TEXT NOT NULL REFERENCES layers ON DELETE CASCADE, digest TEXT NOT NULL, descriptor BLOB NOT NULL,
    PRIMARY KEY(layer_id, digest)) WITHOUT ROWID;
CREATE INDEX layer_blobs_digest ON layer_blobs(digest);
CREATE TABLE parents(
    layer_id TEXT NOT NULL REFERENCES layers ON DELETE CASCADE, parent_id TEXT NOT NULL REFERENCES layers,
    PRIMARY KEY(layer_id, parent_id)) WITHOUT ROWID;
CREATE INDEX parents_parent ON parents(parent_id);
CREATE TABLE images(reference TEXT NOT NULL PRIMARY KEY, descriptor BLOB NOT NULL, updated_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE records(
    key TEXT NOT NULL PRIMARY KEY, data BLOB NOT NULL, layer_id TEXT REFERENCES layers ON DELETE CASCADE,
    created_ns INTEGER NOT NULL, used_ns INTEGER NOT NULL);
CREATE INDEX records_layer ON records(layer_id);
CREATE TABLE builds(id TEXT NOT NULL PRIMARY KEY, started_ns INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX builds_started ON builds(started_ns);
CREATE TABLE file_digests(
    device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL, digest TEXT NOT NULL, written_ns INTEGER NOT NULL, PRIMARY KEY(device, inode)) WITHOUT ROWID;
CREATE TABLE cache_mounts(
    name TEXT NOT NULL PRIMARY KEY, id TEXT NOT NULL, seed TEXT NOT NULL, size INTEGER NOT NULL,
    measured_ns INTEGER NOT NULL, created_ns INTEGER NOT NULL, used_ns INTEGER NOT NULL);
CREATE TABLE settings(key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO layers(id, kind, diff_id, stack, size, created_ns, used_ns, note)
    VALUES ('empty', 'built', 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef', '', 0, 0, 0, '');
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1,)
"""Statement scripts: number n leads from version n to n + 1."""
