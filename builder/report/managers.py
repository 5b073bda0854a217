"""Package managers as a RUN names them: where each keeps what it downloads, and the files that say what it is to install."""

from __future__ import annotations

import re
from re import Pattern

import msgspec


class Manager(msgspec.Struct, frozen=True):
    """`caches` are targets of cache mounts with their options, `~` being the user's home; `lists` what to copy before it runs."""

    name: str
    pattern: Pattern[str]
    caches: tuple[str, ...]
    lists: tuple[str, ...] = ()


def _manager(name: str, pattern: str, caches: tuple[str, ...], lists: tuple[str, ...] = ()) -> Manager:
    return Manager(name, re.compile(rf"(?:^|[\s;&|(])(?:{pattern})(?=$|[\s;&|)])"), caches, lists)


_OPTIONS = r"(?:\s+-\S+)*\s+"

MANAGERS = (
    _manager(
        "apt",
        rf"apt(?:-get)?{_OPTIONS}(?:install|update|upgrade|dist-upgrade|build-dep)",
        ("/var/cache/apt,sharing=locked", "/var/lib/apt,sharing=locked"),
    ),
    _manager("apk", rf"apk{_OPTIONS}(?:add|update|upgrade)", ("/var/cache/apk",)),
    _manager("dnf", rf"(?:micro)?dnf{_OPTIONS}(?:install|update|upgrade)", ("/var/cache/dnf,sharing=locked",)),
    _manager("yum", rf"yum{_OPTIONS}(?:install|update)", ("/var/cache/yum,sharing=locked",)),
    _manager(
        "pip",
        rf"(?:\S*python[0-9.]*\s+-m\s+)?(?:\S*/)?pip[0-9.]*{_OPTIONS}install",
        ("~/.cache/pip",),
        ("requirements.txt", "pyproject.toml"),
    ),
    _manager("uv", rf"uv{_OPTIONS}(?:sync|pip)", ("~/.cache/uv",), ("pyproject.toml", "uv.lock")),
    _manager("poetry", rf"poetry{_OPTIONS}install", ("~/.cache/pypoetry",), ("pyproject.toml", "poetry.lock")),
    _manager("npm", rf"npm{_OPTIONS}(?:ci|install|i)", ("~/.npm",), ("package.json", "package-lock.json")),
    _manager("yarn", r"yarn(?:\s+install|\s+-\S+|(?=\s*(?:$|[;&|)])))", ("/usr/local/share/.cache/yarn",), ("package.json", "yarn.lock")),
    _manager("pnpm", rf"pnpm{_OPTIONS}(?:install|i|fetch)", ("~/.local/share/pnpm/store",), ("package.json", "pnpm-lock.yaml")),
    _manager("go", r"go\s+(?:build|install|test|get|generate|mod\s+download)", ("~/.cache/go-build", "/go/pkg/mod"), ("go.mod", "go.sum")),
    _manager(
        "cargo",
        rf"cargo{_OPTIONS}(?:build|install|fetch|test|check)",
        ("/usr/local/cargo/registry", "/usr/local/cargo/git"),
        ("Cargo.toml", "Cargo.lock"),
    ),
    _manager("bundler", rf"bundle{_OPTIONS}install", ("/usr/local/bundle/cache",), ("Gemfile", "Gemfile.lock")),
    _manager("composer", rf"composer{_OPTIONS}install", ("~/.composer/cache",), ("composer.json", "composer.lock")),
    _manager("maven", r"(?:\./)?mvnw?", ("~/.m2",), ("pom.xml",)),
    _manager("gradle", r"(?:\./)?gradlew?", ("~/.gradle",), ("build.gradle", "settings.gradle")),
)


def managers_of(command: str) -> tuple[Manager, ...]:
    """Those that a RUN calls, in the order of the table."""
    return tuple(manager for manager in MANAGERS if manager.pattern.search(command))
