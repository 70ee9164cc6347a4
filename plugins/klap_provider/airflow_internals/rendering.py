"""For workers: run code around the rendering of an operator's template fields."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow.sdk import Context


class HooksRendering(BaseOperator):
    """
    Base of operators that run code around the rendering of their template fields.

    Why: ``render_template_fields`` is public, but Airflow does not call it on operators that were mapped with
    ``expand``: ``MappedOperator.render_template_fields`` calls this private method of the unmapped operator.
    ``pre_execute`` is too late, because Airflow has stored the rendered fields by then, including secrets. When it
    moves: see what ``MappedOperator.render_template_fields`` and ``BaseOperator.render_template_fields`` call.
    """

    def around_rendering(self, context: Context, render: Callable[[Context], None]) -> None:
        """
        Render the template fields. Subclasses override it.

        :param render: renders them with a context.
        """
        render(context)

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, *args: Any, **kwargs: Any
    ) -> None:
        fields = list(template_fields)
        render = partial(super()._do_render_template_fields, parent, fields)
        if parent is not self:  # a nested object with its own template fields
            render(context, *args, **kwargs)
        else:
            self.around_rendering(context, lambda other: render(other, *args, **kwargs))
