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
    """The item with a language model's description of its pictures instead of the tags, and a flag
    if it failed.
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
    """What a model said in vain, for the quarantine table; the item itself is no part of it."""
    if not answer.raw or answer.reason is None:
        return None
    raw = RawRecord(answer.raw.encode("utf-8", "replace"), "answer", "", 0, kind=MODEL_ANSWER)
    return Reject(raw, answer.reason, "describe", answer.message, answer.item_id)


def merge_answers(carried: PreviousAnswer | None, fresh: ItemAnswer | None) -> ItemAnswer | None:
    """What is said of an item: anew, else before and still current, else before of another kind.

    fresh: None as long as it was not asked for; what is stale counts for nothing then, or it never
    would be.
    """
    if carried is None:
        return fresh
    if fresh is None:
        return carried.current
    told = fresh if fresh.description else carried.current
    merged = replace(
        fresh,
        values=carried.current.values | fresh.values,
        description=told.description,
        alt_text=told.alt_text,
        method=told.method or fresh.method,
        model=told.model or fresh.model,
        prompt_hash=told.prompt_hash or fresh.prompt_hash,
        fingerprint=told.fingerprint,
        described=told.described,
    )
    return merged if carried.stale is None else _over_stale(carried.stale, merged)


def _over_stale(stale: ItemAnswer, answer: ItemAnswer) -> ItemAnswer:
    known = {name: value for name, value in answer.values.items() if value.value is not None}
    values = answer.values | stale.values | known
    if answer.description or not stale.description:
        return replace(answer, values=values)
    return replace(
        stale, values=values, reason=answer.reason, message=answer.message, raw=answer.raw
    )
