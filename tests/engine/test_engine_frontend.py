"""What a whole build makes of instructions where BuildKit's own answer surprises."""

from __future__ import annotations

import pytest

from builder.errors import LayerwrightError
from tests.engine.site import Site, image


def test_a_stage_begins_with_the_variables_of_the_image_it_stands_on(site: Site) -> None:
    """ARG after ENV has the last word in its own stage only (reference 1.3 ARG vs ENV)."""
    site.dockerfile(
        """
        FROM box AS one
        ENV A=image
        ARG A=argument B=kept
        RUN echo "one $A $B"
        FROM one
        RUN echo "two $A $B"
        """
    )
    site.build()
    assert site.output() == "one argument kept\ntwo image kept\n"


@pytest.mark.parametrize("number", ["9", "65", "+12"])
def test_a_stop_signal_by_number_is_left_to_the_engine(site: Site, number: str) -> None:
    site.dockerfile(f"FROM box\nSTOPSIGNAL {number}\n")
    assert image(site.build()).config.config.stop_signal == number


@pytest.mark.parametrize("number", ["0", "SIGFOO", "1.5"])
def test_what_is_no_signal_is_refused(site: Site, number: str) -> None:
    site.dockerfile(f"FROM box\nSTOPSIGNAL {number}\n")
    with pytest.raises(LayerwrightError) as caught:
        site.build()
    assert caught.value.code == "invalid-signal"
