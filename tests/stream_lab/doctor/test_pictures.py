"""The picture of diagnoses marks the layer that is blamed, and says it in words."""

import pytest

from stream_lab.doctor import Cause, Diagnosis, Examination
from stream_lab.doctor.pictures import Case, layers

STACK = ("nginx", "application")


def case(cause: Cause, layer: str) -> Case:
    return Case(STACK, Examination(Diagnosis(cause, 0.9, [], "", layer=layer), {}))


@pytest.mark.parametrize(
    ("cause", "layer", "blamed"),
    [
        (Cause.BUFFERED, "proxied", ["nginx"]),
        (Cause.LOOP_BLOCKED, "direct", ["application"]),
        (Cause.IDLE_CUT, "", ["nginx", "application"]),
        (Cause.HEALTHY, "", []),
    ],
)
def test_the_blamed_layers_follow_from_where_the_fault_was_first_seen(
    cause: Cause, layer: str, blamed: list[str]
) -> None:
    assert case(cause, layer).blamed == blamed


def test_the_alternative_text_has_the_same_in_words() -> None:
    picture = layers(
        {
            "gzip": case(Cause.BUFFERED, "proxied"),
            "pause": case(Cause.IDLE_CUT, ""),
            "plain": case(Cause.HEALTHY, ""),
        },
        title="A second address names the layer",
    )
    assert picture.alt.startswith("A second address names the layer.")
    assert "gzip: client to nginx to application; buffered: nginx." in picture.alt
    assert "pause: client to nginx to application; idle_cut: nginx or application." in picture.alt
    assert "plain: client to nginx to application; healthy." in picture.alt
    assert picture.png().startswith(b"\x89PNG")
