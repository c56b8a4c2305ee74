"""What was found about the data, for people, in one HTML file."""

from graftwork.components.check_data.check import Checked
from graftwork.reporting import pages


def render(checked: Checked) -> str:
    """Return the findings as HTML that needs no other file."""
    drift = checked.drift
    return pages.render(
        "graftwork.components.check_data",
        "drift.html.j2",
        problem=drift.problem if drift else "",
        why=checked.why,
        findings=drift.findings if drift else (),
        odd=checked.odd,
    )
