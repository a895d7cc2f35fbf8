"""The lines of a study as notebooks and terminals show them."""

from ..results import Result


class Results(list[Result]):
    """Lines of a study. Notebooks show their table, terminals the same as Markdown."""

    def __repr__(self) -> str:
        from ..report import summary

        return repr(summary(self)) if self else super().__repr__()

    def _repr_html_(self) -> str | None:
        from ..report import summary

        return summary(self)._repr_html_() if self else None
