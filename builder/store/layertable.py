"""The rows of layers: what each is, in which forms it is there, what it stands on, and when it was used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NewType

import msgspec

from builder.oci.digest import DiffID, Digest
from builder.oci.manifest import Descriptor
from builder.oci.sha256 import small
from builder.store.database import Database, Row, shown
from builder.store.schema import EMPTY_ID

LayerId = NewType("LayerId", str)
"""The name of a layer in this store; means nothing elsewhere."""

EMPTY = LayerId(EMPTY_ID)
"""The layer that holds nothing."""

LayerKind = Literal["base", "built", "merged"]


class LayerRecord(msgspec.Struct, frozen=True):
    """One layer. It can be used by its directory, or by a blob (here, or at `origin`) that the directory is made from."""

    id: LayerId
    kind: LayerKind
    diff_id: DiffID | None
    blobs: tuple[Descriptor, ...]
    origin: str | None
    """registry/repository that can serve the blobs."""
    dir: str | None
    """The directory's name below layers/; None when not unpacked."""
    size: int
    """Bytes of the directory on disk, 0 without one."""
    created_ns: int
    used_ns: int
    note: str
    stack: str
    """`stack_digest` of the layers it was built upon; "" for a base layer."""

    @property
    def directory(self) -> bool:
        return self.dir is not None


def stack_digest(ids: Sequence[LayerId]) -> str:
    """A short name of a stack of layers, lowest first."""
    framed = "".join(f"{len(name)}:{name}" for name in ids)
    return small(framed.encode()).hexdigest()[:32]


_COLUMNS = "id, kind, diff_id, origin, dir, size, created_ns, used_ns, note, stack"
_decode_descriptor = msgspec.msgpack.Decoder(Descriptor).decode
_encode = msgspec.msgpack.Encoder().encode


class LayerTable:
    """Queries on layers; each method is one transaction unless called inside one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, layer: LayerId) -> LayerRecord | None:
        """None when it was collected or never there."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS}, descriptor FROM layers LEFT JOIN layer_blobs ON layer_id = id WHERE id = ? ORDER BY digest", (layer,)
        )
        if not rows:
            return None
        return _record(rows[0][:-1], tuple(_decode_descriptor(row[-1]) for row in rows if row[-1] is not None))

    def all(self) -> list[LayerRecord]:
        """Every row, by id."""
        blobs: dict[str, list[Descriptor]] = {}
        for layer, descriptor in self._database.rows("SELECT layer_id, descriptor FROM layer_blobs ORDER BY layer_id, digest"):
            blobs.setdefault(layer, []).append(_decode_descriptor(descriptor))
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM layers ORDER BY id")
        return [_record(row, tuple(blobs.get(row[0], ()))) for row in rows]

    def by_diff_id(self, diff_id: DiffID) -> tuple[LayerId, ...]:
        """The layers that pack to this tar."""
        return tuple(LayerId(row[0]) for row in self._database.rows("SELECT id FROM layers WHERE diff_id = ? ORDER BY id", (diff_id,)))

    def imported(self, digest: Digest) -> tuple[LayerId, str] | None:
        """A step's layer from another machine that this blob is a form of, and its origin."""
        row = self._database.row(
            "SELECT id, origin FROM layers JOIN layer_blobs ON layer_id = id WHERE digest = ? AND kind = 'built' AND origin IS NOT NULL",
            (digest,),
        )
        return None if row is None else (LayerId(row[0]), row[1])

    def add(self, record: LayerRecord, *, parents: Iterable[LayerId] = (), boot: str | None = None) -> bool:
        """Inserts; False and nothing changed when the id is there already. IntegrityError when a parent is gone."""
        with self._database.transaction():
            added = self._database.execute(
                f"INSERT INTO layers({_COLUMNS}, boot) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO NOTHING",
                (
                    record.id, record.kind, record.diff_id, record.origin, record.dir, record.size,
                    record.created_ns, record.used_ns, shown(record.note), record.stack, boot,
                ),
            )  # fmt: skip
            if added:
                for parent in parents:
                    self._database.execute("INSERT INTO parents VALUES (?, ?) ON CONFLICT DO NOTHING", (record.id, parent))
                for blob in record.blobs:
                    self.add_blob(record.id, blob)
        return bool(added)

    def add_blob(self, layer: LayerId, descriptor: Descriptor) -> None:
        """One more packed form; idempotent."""
        self._database.execute(
            "INSERT INTO layer_blobs VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (layer, descriptor.digest, _encode(descriptor))
        )

    def set_diff_id(self, layer: LayerId, diff_id: DiffID) -> None:
        """What it packs to."""
        self._database.execute("UPDATE layers SET diff_id = ? WHERE id = ?", (diff_id, layer))

    def set_origin(self, layer: LayerId, origin: str) -> None:
        """Where its blobs can be had."""
        self._database.execute("UPDATE layers SET origin = ? WHERE id = ?", (origin, layer))

    def set_directory(self, layer: LayerId, name: str | None, size: int, boot: str | None) -> bool:
        """Where it is unpacked now; False when there is no such layer any more."""
        return bool(self._database.execute("UPDATE layers SET dir = ?, size = ?, boot = ? WHERE id = ?", (name, size, boot, layer)))

    def touch(self, layers: Iterable[LayerId], now_ns: int) -> bool:
        """Marks as used in one transaction; False when some are not there (the others are touched all the same)."""
        there = True
        with self._database.transaction():
            for layer in layers:
                there &= bool(self._database.execute("UPDATE layers SET used_ns = max(used_ns, ?) WHERE id = ?", (now_ns, layer)))
        return there

    def parents(self) -> dict[LayerId, tuple[LayerId, ...]]:
        """What each layer stands on directly."""
        found: dict[LayerId, tuple[LayerId, ...]] = {}
        for layer, parent in self._database.rows("SELECT layer_id, parent_id FROM parents ORDER BY layer_id, parent_id"):
            key = LayerId(layer)
            found[key] = (*found.get(key, ()), LayerId(parent))
        return found

    def directories(self) -> frozenset[str]:
        """The names below layers/ that rows speak of."""
        return frozenset(row[0] for row in self._database.rows("SELECT dir FROM layers WHERE dir IS NOT NULL"))

    def has_directory(self, name: str) -> bool:
        """Whether a row's directory has this name."""
        return self._database.row("SELECT 1 FROM layers WHERE dir = ?", (name,)) is not None

    def blob_digests(self) -> frozenset[Digest]:
        """All blobs that layers speak of, here or not."""
        return frozenset(Digest(row[0]) for row in self._database.rows("SELECT DISTINCT digest FROM layer_blobs"))

    def forget_blob(self, digest: Digest) -> None:
        """No layer has this packed form any more, unless it can be fetched again."""
        self._database.execute(
            "DELETE FROM layer_blobs WHERE digest = ? AND layer_id IN (SELECT id FROM layers WHERE origin IS NULL)", (digest,)
        )

    def delete_unused(self, layer: LayerId, used_ns: int) -> bool:
        """Deletes a row that was not used since `used_ns` and that nothing stands on; its cache records go with it."""
        return bool(
            self._database.execute(
                "DELETE FROM layers WHERE id = ? AND used_ns <= ? AND id <> ?"
                " AND NOT EXISTS (SELECT 1 FROM parents WHERE parent_id = layers.id)",
                (layer, used_ns, EMPTY),
            )
        )

    def delete_with_descendants(self, layer: LayerId) -> tuple[LayerId, ...]:
        """Deletes a broken layer and all that stands on it; which those were."""
        doomed = "WITH RECURSIVE doomed(id) AS (SELECT ? UNION SELECT layer_id FROM parents JOIN doomed ON parent_id = doomed.id)"
        with self._database.transaction():
            found = [row[0] for row in self._database.rows(f"{doomed} SELECT id FROM doomed ORDER BY id", (layer,)) if row[0] != EMPTY]
            self._database.executemany("DELETE FROM parents WHERE layer_id = ?", [(name,) for name in found])
            self._database.executemany("DELETE FROM layers WHERE id = ?", [(name,) for name in found])
        return tuple(found)

    def drop_directory(self, layer: LayerId, used_ns: int) -> bool:
        """Forgets the directory of a layer that was not used since `used_ns` and that can be unpacked again."""
        return bool(
            self._database.execute(
                "UPDATE layers SET dir = NULL, size = 0, boot = NULL WHERE id = ? AND used_ns <= ? AND dir IS NOT NULL"
                " AND EXISTS (SELECT 1 FROM layer_blobs WHERE layer_id = layers.id)",
                (layer, used_ns),
            )
        )


def _record(row: Row, blobs: tuple[Descriptor, ...]) -> LayerRecord:
    layer, kind, diff_id, origin, name, size, created, used, note, stack = row
    return LayerRecord(layer, kind, diff_id, blobs, origin, name, size, created, used, note, stack)
