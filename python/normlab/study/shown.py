"""Results of a study, shown as a table."""

from ..results import Result


class Results(list[Result]):
    """Results of a study. Notebooks show a table, terminals show Markdown."""

    def __repr__(self) -> str:
        from ..report import summary

        return repr(summary(self)) if self else super().__repr__()

    def _repr_html_(self) -> str | None:
        from ..report import summary

        return summary(self)._repr_html_() if self else None
