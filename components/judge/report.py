"""The verdict for people, in one HTML file."""

from graftwork.components.judge.judge import Judged
from graftwork.reporting import pages


def render(judged: Judged) -> str:
    """Return the verdict as HTML that needs no other file."""
    return pages.render(
        "graftwork.components.judge",
        "verdict.html.j2",
        verdict=judged.verdict,
        accuracy=judged.accuracy,
        source=judged.source,
        compared=judged.compared,
        differing={
            f"Only the {who} is right": [image for image in judged.differing if image.won is won]
            for who, won in (("challenger", True), ("champion", False))
        },
    )
