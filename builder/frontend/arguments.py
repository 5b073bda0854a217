"""ARGs of the global scope: the platform's, those before the first FROM, and the user's values for them."""

from __future__ import annotations

from collections.abc import Mapping

from builder.frontend.scope import Expander
from builder.frontend.settings import FrontendSettings
from builder.oci.platform import Platform
from grammar.nodes import Arg


def platform_arguments(settings: FrontendSettings, stage: str) -> dict[str, str]:
    """TARGET* and BUILD* and TARGETSTAGE (reference 1.8); --build-arg overrides each."""
    known = {**_describe("BUILD", settings.build_platform), **_describe("TARGET", settings.platform), "TARGETSTAGE": stage}
    return {key: settings.build_args.get(key, value) for key, value in known.items()}


def _describe(prefix: str, platform: Platform) -> dict[str, str]:
    return {
        f"{prefix}PLATFORM": str(platform),
        f"{prefix}OS": platform.os,
        f"{prefix}OSVERSION": platform.os_version,
        f"{prefix}ARCH": platform.architecture,
        f"{prefix}VARIANT": platform.variant,
    }


def evaluate_globals(nodes: tuple[Arg, ...], platform: Mapping[str, str], given: Mapping[str, str], expander: Expander) -> dict[str, str]:
    """The global scope: each ARG sees those before it; a --build-arg beats the default."""
    values = dict(platform)
    for node in nodes:
        for pair in node.pairs:
            key = pair.key.text
            if key in given:
                values[key] = given[key]
            elif pair.value is not None:
                values[key] = expander.word(pair.value, values)
    return values
