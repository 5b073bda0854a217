"""Builds that share results through a registry, a directory or an image."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builder.errors import LayerwrightError
from tests.cache.machines import EXAMPLE, Machines
from tests.engine.site import image
from tests.registry.fake_registry import Fault

STEPS = 8
"""Steps of the example that make a result, WORKDIR too; the Merge of --link is none."""

LAYERS = 5
"""Layers of its image: the base's, and the last stage's four."""


def test_a_second_machine_runs_nothing_and_pulls_no_layer(machines: Machines) -> None:
    first = machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max")
    assert first.ran == STEPS
    second = machines.build("b", cache_from=machines.ref())
    assert (second.ran, machines.ran()) == (0, [])
    assert second.digest == first.digest
    assert machines.pulled() == []
    assert machines.notes() == [f"imported the cache {machines.ref()}: 8 results, 8 layers"]


def test_the_cache_is_asked_for_only_by_a_build_that_misses(machines: Machines) -> None:
    machines.build("a", cache_to=machines.ref())
    machines.build("a", cache_from=machines.ref())
    assert machines.fake.requests("GET", "/app/") == []


def test_an_import_is_kept_so_that_the_next_build_asks_nobody(machines: Machines) -> None:
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max")
    machines.build("b", cache_from=machines.ref())
    assert machines.build("b").ran == 0
    assert machines.fake.requests("GET", "/app/") == []


def test_only_what_a_missing_step_needs_is_pulled(machines: Machines) -> None:
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max")
    machines.example(EXAMPLE.replace("echo notes", "echo other"))
    second = machines.build("b", cache_from=machines.ref())
    assert machines.ran() == ["RUN echo other > /notes", "COPY --from=notes /notes /opt/app/"]
    assert second.ran == 2
    # The base, and the two layers that the COPY is made on; not the sources, the program, or /opt/etc.
    assert len(machines.pulled()) == 3


def test_the_same_files_from_a_rebuilt_stage_are_a_hit_elsewhere(machines: Machines) -> None:
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max")
    machines.example(EXAMPLE.replace("echo notes", "echo no''tes"))
    machines.build("b", cache_from=machines.ref())
    assert machines.ran() == ["RUN echo no''tes > /notes"]


def test_the_image_of_imported_layers_is_whole_wherever_it_goes(machines: Machines) -> None:
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max", tags=("app",), outputs=())
    pushed = f"{machines.fake.host}/elsewhere/app:1"
    machines.build("b", cache_from=machines.ref(), tags=(pushed,), outputs=("type=registry,store=false",))
    assert machines.pulled() == []
    assert {seen.path.partition("&from=")[2] for seen in machines.fake.requests("POST", "mount=")} == {"app", "base"}
    stored = machines.build("c", cache_from=machines.ref(), tags=("app",), outputs=())
    assert stored.ran == 0
    assert len(image(stored).layers) == LAYERS


def test_mode_min_has_the_final_chain_only(machines: Machines) -> None:
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()}")
    same = machines.build("b", cache_from=machines.ref())
    assert same.ran == 0
    machines.site.write("main.c", "changed\n")
    machines.build("c", cache_from=machines.ref())
    assert sorted(machines.ran()) == [
        "COPY --from=build /src/program /opt/app/",
        "COPY --from=notes /notes /opt/app/",
        "COPY main.c .",
        "RUN echo notes > /notes",
        "RUN tr a-z A-Z < main.c > program",
        "WORKDIR /src",
    ]


def test_mode_max_has_every_stage(machines: Machines) -> None:
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max")
    machines.site.write("main.c", "changed\n")
    machines.build("b", cache_from=machines.ref())
    assert sorted(machines.ran()) == [
        "COPY --from=build /src/program /opt/app/",
        "COPY --from=notes /notes /opt/app/",
        "COPY main.c .",
        "RUN tr a-z A-Z < main.c > program",
    ]


def test_another_base_is_a_miss(machines: Machines) -> None:
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max")
    text = (machines.site.context / "Dockerfile").read_text()
    machines.site.dockerfile("FROM scratch\nCOPY --from=box / /\nRUN echo new > /version\n")
    machines.build("base", tags=(machines.base,), push=True, outputs=())
    machines.site.write("Dockerfile", text)
    assert machines.build("b", cache_from=machines.ref()).ran >= STEPS - 1


def test_two_exports_to_one_name_are_both_there(machines: Machines) -> None:
    to = f"type=registry,ref={machines.ref()},mode=max"
    machines.build("a", cache_to=to)
    machines.site.write("Dockerfile", f"FROM {machines.base}\nRUN echo other > /other\n")
    machines.build("b", cache_to=to)
    assert machines.build("c", cache_from=machines.ref()).ran == 0
    machines.example()
    assert machines.build("d", cache_from=machines.ref()).ran == 0


@pytest.mark.parametrize("argument", [{"cache_to": "type=inline"}, {"build_args": {"BUILDKIT_INLINE_CACHE": "1"}}])
def test_an_image_carries_its_own_cache(machines: Machines, argument: dict[str, object]) -> None:
    name = f"{machines.fake.host}/image:1"
    first = machines.build("a", tags=(name,), outputs=("type=registry",), **argument)  # type: ignore[arg-type]
    second = machines.build("b", cache_from=f"type=registry,ref={name}", **argument)  # type: ignore[arg-type]
    assert second.ran == 0
    assert machines.pulled() == []
    assert second.digest == first.digest


def test_an_image_for_several_platforms_carries_the_cache_of_each(machines: Machines) -> None:
    name = f"{machines.fake.host}/image:1"
    machines.example("FROM scratch\nARG TARGETARCH\nWORKDIR /$TARGETARCH\nCOPY main.c .\n")
    platforms = ("linux/amd64", "linux/arm64")
    first = machines.build("a", tags=(name,), outputs=("type=registry",), cache_to="type=inline", platforms=platforms)
    assert first.ran == 4
    second = machines.build("b", cache_from=f"type=registry,ref={name}", cache_to="type=inline", platforms=platforms)
    assert (second.ran, second.digest) == (0, first.digest)


def test_an_inline_cache_speaks_of_the_layers_that_the_image_has(machines: Machines) -> None:
    name = f"{machines.fake.host}/image:1"
    output = ("type=registry,rewrite-timestamp=true",)
    first = machines.build("a", tags=(name,), outputs=output, cache_to="type=inline", epoch=1_000_000_000)
    second = machines.build("b", cache_from=name, tags=(name,), outputs=output, cache_to="type=inline", epoch=1_000_000_000)
    assert (second.ran, second.digest) == (0, first.digest)


def test_an_image_that_was_asked_for_none_carries_no_cache(machines: Machines) -> None:
    name = f"{machines.fake.host}/image:1"
    machines.build("a", tags=(name,), outputs=("type=registry",))
    assert machines.build("b", cache_from=f"type=registry,ref={name}").ran == STEPS
    assert machines.warnings() == [
        f"the cache {name} is not used: {name} holds no cache; export one with --cache-to type=registry or type=inline"
    ]


def test_a_directory_goes_from_machine_to_machine(machines: Machines, tmp_path: Path) -> None:
    first = machines.build("a", cache_to=f"type=local,dest={tmp_path}/out,mode=max")
    shutil.move(tmp_path / "out", tmp_path / "in")
    second = machines.build("b", cache_from=f"type=local,src={tmp_path}/in", cache_to=f"type=local,dest={tmp_path}/out2,mode=max")
    assert (second.ran, second.digest) == (0, first.digest)
    third = machines.build("c", cache_from=f"type=local,src={tmp_path}/out2", tags=("app",), outputs=())
    assert third.ran == 0


def test_layers_of_a_directory_are_pushed(machines: Machines, tmp_path: Path) -> None:
    machines.build("a", cache_to=f"type=local,dest={tmp_path}/out,mode=max")
    name = f"{machines.fake.host}/image:1"
    pushed = machines.build("b", cache_from=f"type=local,src={tmp_path}/out", tags=(name,), outputs=("type=registry,store=false",))
    assert pushed.ran == 0
    assert all((f"{layer.digest}" in machines.fake.blobs) for layer in image(pushed).manifest.layers)


def test_a_cache_that_is_not_there_yet_is_no_warning(machines: Machines) -> None:
    assert machines.build("a", cache_from=machines.ref("none")).ran == STEPS
    assert machines.warnings() == []
    assert machines.notes() == [f"there is no cache {machines.ref('none')} yet"]


def test_a_registry_out_of_reach_is_one_warning(machines: Machines) -> None:
    assert machines.build("a", cache_from="127.0.0.1:9/app:cache", strict=True).ran == STEPS
    assert len(machines.warnings()) == 1
    assert machines.warnings()[0].startswith("the cache 127.0.0.1:9/app:cache is not used: ")


def test_corrupt_records_are_one_warning(machines: Machines) -> None:
    machines.build("a", cache_to=machines.ref())
    for digest, data in machines.fake.blobs.items():
        if data.startswith(b'{"schema"'):
            machines.fake.blobs[digest] = damage(data)
    assert machines.build("b", cache_from=machines.ref()).ran == STEPS
    assert len(machines.warnings()) == 1


def damage(data: bytes) -> bytes:
    return bytes([data[0] ^ 255]) + data[1:]


@pytest.mark.parametrize("harm", ["gone", "garbled"])
def test_a_layer_that_cannot_be_had_makes_its_steps_run(machines: Machines, harm: str) -> None:
    first = machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max")
    base = {layer.digest for layer in image(first).manifest.layers[:1]}
    for digest in [digest for digest, owners in machines.fake.owners.items() if "app" in owners and digest not in base]:
        if not machines.fake.blobs[digest].startswith(b"{"):
            if harm == "gone":
                machines.fake.owners[digest].discard("app")
            else:
                machines.fake.blobs[digest] = damage(machines.fake.blobs[digest])
    built = machines.build("b", cache_from=machines.ref(), tags=("app",), outputs=())
    assert [message.partition(" any further")[0] for message in machines.warnings()] == [f"the cache {machines.fake.host}/app is not used"]
    assert len(image(built).layers) == LAYERS
    machines.example(EXAMPLE + "RUN cat /opt/app/program > /shown\n")
    assert machines.build("b").ran == 1


def test_a_layer_lost_between_builds_makes_its_steps_run(machines: Machines) -> None:
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max")
    machines.build("b", cache_from=machines.ref())
    machines.fake.manifests.clear()
    for digest, owners in machines.fake.owners.items():
        if not machines.fake.blobs[digest].startswith(b"{"):
            owners.discard("app")
    machines.fake.seen.clear()
    # The manifest of the base is in store b; its layer is asked of the registry, which still has it.
    built = machines.build("b", tags=("app",), outputs=())
    assert len(machines.warnings()) == 1
    assert len(image(built).layers) == LAYERS


def test_a_failed_export_fails_the_build_unless_it_is_to_be_ignored(machines: Machines) -> None:
    machines.fake.faults.append(Fault("PUT", "/app/manifests/", times=99, status=403))
    with pytest.raises(LayerwrightError):
        machines.build("a", cache_to=machines.ref())
    assert machines.build("a", cache_to=f"type=registry,ref={machines.ref()},ignore-error=true").ran == 0
    assert [message.partition(": ")[0] for message in machines.warnings()] == [f"the cache was not exported to {machines.ref()}"]


def test_an_image_is_not_overwritten_by_a_cache(machines: Machines) -> None:
    with pytest.raises(LayerwrightError, match="the cache cannot be written"):
        machines.build("a", cache_to=machines.base)


def test_compression_of_the_export(machines: Machines) -> None:
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max,compression=zstd,compression-level=3")
    raw = machines.fake.manifests["app", "cache"][1]
    assert b"tar+zstd" in raw
    assert b"tar+gzip" not in raw
    assert machines.build("b", cache_from=machines.ref(), tags=("app",), outputs=()).ran == 0


MOUNTS = """\
FROM {base}
RUN --mount=type=cache,target=/cache echo once >> /cache/log && cat /cache/log
"""


def test_cache_mounts_travel(machines: Machines) -> None:
    machines.example(MOUNTS)
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()}", cache_mounts=True)
    machines.example(MOUNTS + "RUN --mount=type=cache,target=/cache echo twice >> /cache/log; cat /cache/log\n")
    machines.build("b", cache_from=machines.ref(), cache_to=f"type=registry,ref={machines.ref()},cache-mounts=true")
    assert machines.site.output() == "once\ntwice\n"
    machines.build("c", cache_from=machines.ref(), no_cache=True)
    assert machines.site.output() == "once\ntwice\nonce\n" + "once\ntwice\nonce\ntwice\n"


def test_a_mount_that_is_there_already_stays_as_it_is(machines: Machines) -> None:
    machines.example(MOUNTS)
    machines.build("b")
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},cache-mounts=true")
    machines.build("b", cache_from=machines.ref(), no_cache=True)
    assert machines.site.output() == "once\nonce\n"


def test_a_mount_that_cannot_be_had_stays_empty(machines: Machines) -> None:
    machines.example(MOUNTS)
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},cache-mounts=true")
    for digest, owners in machines.fake.owners.items():
        if "app" in owners and not machines.fake.blobs[digest].startswith(b"{"):
            machines.fake.blobs[digest] = damage(machines.fake.blobs[digest])
    machines.build("b", cache_from=machines.ref(), no_cache=True)
    assert machines.site.output() == "once\n"
    assert [message.partition(" of ")[0] for message in machines.warnings()] == ["the cache mount /cache"]


def test_mounts_stay_here_unless_asked_for(machines: Machines) -> None:
    machines.example(MOUNTS)
    machines.build("a", cache_to=machines.ref())
    machines.build("b", cache_from=machines.ref(), no_cache=True)
    assert machines.site.output() == "once\n"


def test_a_base_that_cannot_be_had_is_an_error_whoever_else_speaks_of_its_layer(machines: Machines) -> None:
    machines.build("a", cache_to=f"type=registry,ref={machines.ref()},mode=max")
    for owners in machines.fake.owners.values():
        owners.discard("base")
    machines.example(EXAMPLE + "RUN cat /opt/app/program > /shown\n")
    with pytest.raises(LayerwrightError, match="base"):
        machines.build("b", cache_from=machines.ref())
