"""The errors that a user can mend: shown without a traceback, exit code 2."""

from collections.abc import Mapping, Sequence

EXIT_CODE = 2


class UserError(Exception):
    """Something the user gave is wrong: says what, where, what was expected and what to do next.

    Args:
        problem: What is wrong, in one line without a final stop.
        facts: What was looked at, as label -> text; shown one a line in the order given.
        next: What to do about it, one line or several.
    """

    def __init__(
        self, problem: str, facts: Mapping[str, object] | None = None, next: str | Sequence[str] | None = None
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.facts = {label: str(text) for label, text in (facts or {}).items()}
        self.next = [next] if isinstance(next, str) else list(next or [])

    def __str__(self) -> str:
        lines = list(self.facts.items())
        lines += [("next" if i == 0 else "", text) for i, text in enumerate(self.next)]
        width = max((len(label) for label, _ in lines), default=0)
        return "\n".join([self.problem, *(f"  {label:<{width}}  {text}" for label, text in lines)])
