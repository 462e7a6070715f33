"""Where something that may be registered is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from optplan.source import Span

Kind = Literal["optimizer", "policy"]


class Mention(NamedTuple):
    """A name that a document or a plan has for an optimizer or a policy, and its place where it has one."""

    kind: Kind
    name: str
    span: Span | None = None
