"""`layerwright diff`: what differs between two images."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from builder.cli.settings import read_environment
from builder.errors import LayerwrightError

if TYPE_CHECKING:
    from builder.compare.differences import Difference
    from builder.compare.images import CompareOptions
    from builder.engine.compare import Comparison

SECTIONS = ("manifest", "config", "history", "layers", "files")
TROUBLE = 2
"""As diff(1): 0 the same, 1 different, 2 trouble."""

EPILOG = """\b
Examples:
  layerwright diff app:1 app:2
  layerwright diff app:1 docker-image://registry.example/app:1
  layerwright diff --only files --ignore-time old.tar ./layout:new
"""


@click.command(epilog=EPILOG)
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.option("--platform", metavar="OS/ARCH", help="The image of an index to compare (all that both have).")
@click.option("--only", "sections", multiple=True, type=click.Choice(SECTIONS), help="Compare only this; may be repeated.")
@click.option("--ignore-time", is_flag=True, help="Leave out times of files, config and history, and layers' digests with them.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print (text); json is a line each.")
@click.option("--insecure", is_flag=True, help="Speak to registries without checked TLS, or without TLS.")
@click.option("--root", metavar="DIR", help="The store.")
def diff(
    one: str, other: str, platform: str | None, sections: tuple[str, ...], ignore_time: bool, form: str, insecure: bool, root: str | None
) -> int:
    """Compare two images: manifest, config, history, layers, and every file of the root file systems they make.

    Each is a name or id of the store, a name with its registry (or docker-image://NAME), an archive of docker or OCI, an
    OCI layout (PATH:NAME where there are several images), or - for an archive on standard input.
    The exit code is 0 where they are the same, 1 where they differ, 2 where they cannot be compared.
    """
    try:
        return _compare(one, other, platform, sections, ignore_time, form, insecure, root)
    except LayerwrightError as error:
        error.exit_code = TROUBLE
        raise


def _compare(
    one: str, other: str, platform: str | None, sections: tuple[str, ...], ignore_time: bool, form: str, insecure: bool, root: str | None
) -> int:
    from builder.cli.userspace import workshop_settings
    from builder.compare.differences import SECTIONS as KNOWN
    from builder.compare.images import CompareOptions
    from builder.engine.compare import Comparison
    from builder.engine.operands import registry_host
    from builder.engine.workshop import Workshop
    from builder.oci.platform import parse_platform

    hosts = tuple(host for text in (one, other) if insecure and (host := registry_host(text)) is not None)
    options = CompareOptions(tuple(name for name in KNOWN if name in sections or not sections), ignore_time)
    wanted = parse_platform(platform) if platform else None
    with (
        Workshop(workshop_settings(read_environment(), root, hosts)) as shop,
        Comparison(shop, one, other, wanted, sys.stdin.buffer) as comparison,
    ):
        return _print_json(comparison, options) if form == "json" else _print_text(comparison, options)


def _print_json(comparison: Comparison, options: CompareOptions) -> int:
    from builder.compare.render import json_line

    found = 0
    several = len(comparison.pairs) > 1
    for lone in comparison.lone:
        click.echo(json_line(lone))
        found += 1
    for pair in comparison.pairs:
        for difference in comparison.differences(pair, options):
            click.echo(json_line(difference, pair.platform if several else ""))
            found += 1
    return 1 if found else 0


def _print_text(comparison: Comparison, options: CompareOptions) -> int:
    from builder.progress.sanitise import clean

    counts = _print_sections(comparison.lone)
    for number, pair in enumerate(comparison.pairs):
        if number:
            click.echo("")
        for mark, side in (("---", pair.one), ("+++", pair.other)):
            click.echo(f"{mark} {clean(side.title)}  {pair.platform}  {side.image.descriptor.digest}")
        for section, count in _print_sections(comparison.differences(pair, options)).items():
            counts[section] = counts.get(section, 0) + count
    if not counts:
        click.echo("no difference")
        return 0
    click.echo("different: " + ", ".join(f"{count} in {section}" for section, count in counts.items()))
    return 1


def _print_sections(differences: Iterable[Difference]) -> dict[str, int]:
    """A heading before the first difference of each section; how many there were."""
    from builder.compare.differences import section_of
    from builder.compare.render import text_lines

    counts: dict[str, int] = {}
    for difference in differences:
        section = section_of(difference)
        if section not in counts:
            click.echo(section)
        counts[section] = counts.get(section, 0) + 1
        for line in text_lines(difference):
            click.echo(line)
    return counts
