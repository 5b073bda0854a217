"""Random steps over one base, built by both: what RUN does to files and what COPY lays on top, in orders nobody thought of."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.differential.builders import Ours, Reference
from tests.differential.casefile import Case, Part, lay_out
from tests.differential.compare import Difference, compare
from tests.differential.exceptions import sort_out

PATHS = (
    "data data/plain data/dir data/dir/a data/dir/sub data/dir/sub/c data/linkdir data/hard1 data/hard2 data/link data/pipe data/setuid "
    "data/sticky data/owned data/dir/n srv srv/real srv/real/x srv/current new new/a new/b etc/group"
).split()
CONTEXT = (
    Part("d/ 750", ""), Part("d/a 600", "A\n"), Part("d/e/b", "B\n"), Part("d/e/l -> b", ""), Part("d/sub/c 640", "other c\n"),
    Part("f 4755", "F\n"), Part("l -> f", ""), Part("ld -> d", ""), Part("h1", "H\n"), Part("h2 = h1", ""), Part("real/x", "x\n"),
    Part(".dockerignore", "Dockerfile\n"),
)  # fmt: skip
CHANGES = (
    "rm -rf {p}", "mkdir -p {p}", "echo {n} > {p}", "mv {p} {q}", "cp -a {p} {q}", "ln -s {p} {q}", "ln -s ../x {q}", "ln {p} {q}",
    "chmod 600 {p}", "chmod 4711 {p}", "chown 1:{n} {p}", "touch -d @14000000{n} {p}", "rm -rf {p} && mkdir -p {p} && echo z > {p}/z",
    "touch {p}/f{n}", "mkfifo {p}", "rm -rf {p}/*", "rm -rf {p} && echo y > {p}", "cp {p} {q}", "echo more >> {p}",
)  # fmt: skip


def make_case(seed: int) -> Case:
    """The same seed gives the same Dockerfile."""
    chance = random.Random(seed)

    def path() -> str:
        return "/" + chance.choice(PATHS)

    def run() -> str:
        steps = [chance.choice(CHANGES).format(p=path(), q=path(), n=chance.randrange(10, 99)) for _ in range(chance.randrange(1, 5))]
        return f"RUN {'; '.join(steps)}; true"

    def copy() -> str:
        source = chance.choice(["d", "d/e", "f", "d/*", "l", "ld", "h1 h2", "."])
        return f"COPY {chance.choice(['', '--chown=3:4 '])}{source} {path()}{chance.choice(['', '/'])}"

    lines = ["FROM data AS one", run(), "FROM data"]
    for _ in range(chance.randrange(3, 6)):
        lines.append(chance.choice([run, run, run, copy, copy, lambda: f"COPY --from=one {path()} {path()}/"])())
    return Case(f"seed-{seed}", "random", (), (Part("Dockerfile", "\n".join(lines) + "\n"), *CONTEXT))


def is_of_the_format(difference: Difference) -> bool:
    """What a layer made by BuildKit's differ does not tell, and one made by dockerd's own does.

    A directory's mtime alone is no change to it; and names of one file stay names of one file where 20.10, whose overlay
    has no index, parts them as soon as one is opened for writing.
    """
    if difference.kind != "tree":
        return False
    path, _, what = difference.where.rpartition(" ")
    return what == "links" or (what == "mtime" and path.rsplit("/", 1)[-1] in {name.rsplit("/", 1)[-1] for name in PATHS})


@pytest.mark.parametrize("seed", range(10))
def test_random_steps(seed: int, ours: Ours, reference: Reference, tmp_path: Path) -> None:
    case = make_case(seed)
    lay_out(case, tmp_path / "context")
    differences = compare(
        ours.build(case, tmp_path / "context"), reference.build(case, tmp_path / "context", tmp_path), same_dockerfile=True
    )
    _, left = sort_out([difference for difference in differences if not is_of_the_format(difference)], ())
    if left:
        pytest.fail(case.parts[0].text + "\n".join(str(difference) for difference in left), pytrace=False)
