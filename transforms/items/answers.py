"""Answers of a language model, attached to the item that was asked about."""

from __future__ import annotations

from dataclasses import replace

from schemas.elements import (
    MODEL_ANSWER,
    Flag,
    Item,
    ItemAnswer,
    PreviousAnswer,
    RawRecord,
    Reject,
)


def attach_answer(item: Item, answer: ItemAnswer | None) -> Item:
    """Give an item a language model's description of its images instead of the tags, and a flag if
    it failed.
    """
    described = replace(
        item, answer=answer, image_description=answer.description or None if answer else None
    )
    if answer is None or answer.reason is None:
        return described
    return replace(
        described, flags=(*item.flags, Flag(answer.reason, "image_description", answer.message))
    )


def unusable_answer(answer: ItemAnswer) -> Reject | None:
    """Return an answer that could not be used, for the quarantine table; the item is not part of
    it.
    """
    if not answer.raw or answer.reason is None:
        return None
    raw = RawRecord(answer.raw.encode("utf-8", "replace"), "answer", "", 0, kind=MODEL_ANSWER)
    return Reject(raw, answer.reason, "describe", answer.message, answer.item_id)


def merge_answers(previous: PreviousAnswer | None, fresh: ItemAnswer | None) -> ItemAnswer | None:
    """Choose between answers on an item: a new one, else a previous one that still holds, else a
    stale one.

    fresh: None as long as it was not asked for; what is stale counts for nothing then, or it never
    would be.
    """
    if previous is None:
        return fresh
    if fresh is None:
        return previous.current
    described_by = fresh if fresh.description else previous.current
    merged = replace(
        fresh,
        values=previous.current.values | fresh.values,
        description=described_by.description,
        alt_text=described_by.alt_text,
        method=described_by.method or fresh.method,
        model=described_by.model or fresh.model,
        prompt_hash=described_by.prompt_hash or fresh.prompt_hash,
        fingerprint=described_by.fingerprint,
        described=described_by.described,
    )
    return merged if previous.stale is None else _over_stale(previous.stale, merged)


def _over_stale(stale: ItemAnswer, answer: ItemAnswer) -> ItemAnswer:
    known = {name: value for name, value in answer.values.items() if value.value is not None}
    values = answer.values | stale.values | known
    if answer.description or not stale.description:
        return replace(answer, values=values)
    return replace(
        stale, values=values, reason=answer.reason, message=answer.message, raw=answer.raw
    )
