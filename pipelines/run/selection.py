"""What a command chooses of the published snapshot to be made again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """The records that are rebuilt though nothing says that they changed.

    item_ids: of a backfill; reasons: of a replay, the records in quarantine for them. Without both:
    whatever changed; with one of them nothing else is touched.
    attributes: that a language model is asked for again; None: those that would be asked otherwise
    today.
    describe, embed: whether a language model is asked at all, and texts are embedded again.
    ask_again: whether cached answers of these items are discarded first.
    command: that the manifest names.
    """

    item_ids: frozenset[str] | None = None
    reasons: frozenset[str] | None = None
    attributes: frozenset[str] | None = None
    describe: bool = True
    embed: bool = True
    ask_again: bool = False
    command: str = "run"

    @property
    def is_partial(self) -> bool:
        return self.item_ids is not None or self.reasons is not None
