"""On workers: a hook around the rendering of an operator's template fields."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow.sdk import Context


class HooksRendering(BaseOperator):
    """
    Base of an operator that does something around the rendering of its template fields.

    Why: ``render_template_fields`` is published, but Airflow does not call it on an operator that was mapped with
    ``expand``: ``MappedOperator.render_template_fields`` calls this private method on the operator that it has made.
    ``pre_execute`` comes too late: Airflow has stored what the fields say by then, secrets included. When it moves: see
    what ``MappedOperator.render_template_fields`` and ``BaseOperator.render_template_fields`` call.
    """

    def around_rendering(self, context: Context, render: Callable[[Context], None]) -> None:
        """
        Render the template fields; to be overridden.

        :param render: renders them with a context.
        """
        render(context)

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, *args: Any, **kwargs: Any
    ) -> None:
        fields = list(template_fields)
        render = partial(super()._do_render_template_fields, parent, fields)
        if parent is not self:  # an object in a field that has template fields of its own
            render(context, *args, **kwargs)
        else:
            self.around_rendering(context, lambda other: render(other, *args, **kwargs))
