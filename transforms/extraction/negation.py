"""Whether a name that stands in a text is denied there: "without hood", "sugar-free", "no added
sugar".

A cue list with a reach in words, after Chapman et al. 2001 (NegEx, doi:10.1006/jbin.2001.1029).
"""

from __future__ import annotations

import re

from transforms.extraction.tokens import Tokens

# Reach, in words: how far after the cue a denied name may begin.
_CUES_BY_REACH = {
    4: "not isnt arent wasnt doesnt dont cant cannot wont never neither nor lacks lacking varken "
    "weder",
    3: "without excluding excludes excl except minus sans sin senza sem ohne utan zonder uden "
    "nicht inte ej ikke niet",
    2: "no kein keine keinen keiner ingen inget inga saknar nessun aucun",
    1: "non zero faux fake imitation pseudo simulated",
}
_REACH = {cue: reach for reach, cues in _CUES_BY_REACH.items() for cue in cues.split()}
# After these an enumeration goes on being denied with "and" too: "without wool and cotton".
_CARRYING = frozenset(
    {
        "without",
        "excluding",
        "except",
        "ohne",
        "utan",
        "zonder",
        "uden",
        "sans",
        "sin",
        "of",
        "from",
    }
)
_CARRYING |= {"från", "fra", "von"}
_FREE = frozenset({"free", "frei", "fri", "fritt", "fria"})
_FREE_OF = frozenset({"of", "from", "från", "fra", "von"})
_RESUMING = frozenset(
    {
        "but",
        "just",
        "only",
        "merely",
        "simply",
        "with",
        "and",
        "aber",
        "sondern",
        "med",
        "mais",
        "pero",
    }
    | {"nur", "bara", "endast", "lediglich", "seulement", "solo"}
)
# "inte blå utan röd": after another denial, Swedish "without" is "but".
_BEFORE_BUT = frozenset({"inte", "ej", "icke", "ingen", "inget", "inga"})
_OR = frozenset({",", "/", "or", "nor", "oder", "noch", "eller", "ou", "o"})
_AND = frozenset({"and", "und", "och", "et", "y", "e"})
_DENIED_AFTER = re.compile(
    r"-?\s?free\b(?!\s+(?:shipping|delivery|of|from|size|gift|returns?|trial|standing)\b)|-(?:less|like|look)\b|-?frei\b"
    r"|-fri(?:tt|a)?\b|\s+(?:is\s|are\s)?"
    r"(?:not\s(?:included|supplied|available|added)|excluded|sold separately)\b"
    r"|\s+(?:(?:ist\s|sind\s)?nicht\s(?:enthalten|inbegriffen)|(?:ingår|medföljer)\s(?:ej|inte)|(?:ej|inte)\singår|saknas)\b",
    re.IGNORECASE,
)
_NOTHING_OF = re.compile(
    r"(?<![\d.,])0\s?%\s(?:(?:of|added|tillsatt|zugesetzter)\s)?$", re.IGNORECASE
)
_HYPHENATED_BEFORE = re.compile(r"(?<![^\W_])(?:un|non|anti)-$", re.IGNORECASE)


def is_denied(text: str, tokens: Tokens, first: int, last: int) -> bool:
    """Whether the name that fills tokens `first` to `last` is denied by the words around it."""
    begin, end = tokens.begins[first], tokens.ends[last]
    if _DENIED_AFTER.match(text, end) or _HYPHENATED_BEFORE.search(text, max(0, begin - 6), begin):
        return True
    if _NOTHING_OF.search(text, max(0, begin - 20), begin):
        return True
    for distance in range(1, 5):
        index = first - distance
        if index < 0 or not tokens.is_word[index]:
            return False
        word = tokens.keys[index]
        if word in _RESUMING and not (
            word in ("with", "med") and index and tokens.keys[index - 1] in _REACH
        ):
            return False
        if word == "utan" and not _BEFORE_BUT.isdisjoint(tokens.keys[max(0, index - 4) : index]):
            return False
        if distance <= _REACH.get(word, 0) and not (
            word == "no" and tokens.keys[index + 1].isdigit()
        ):  # "No 5"
            return True
        if word in _FREE_OF and index and tokens.keys[index - 1] in _FREE:
            return True
    return False


def is_carried(tokens: Tokens, denied_first: int, denied_last: int, first: int) -> bool:
    """Whether the denial of one name reaches the next one, which begins at token `first`: "no nuts,
    milk or eggs".
    """
    between = tokens.keys[denied_last + 1 : first]
    if not between or len(between) > 2:
        return False
    if all(key in _OR for key in between):
        return True
    carrying = any(key in _CARRYING for key in tokens.keys[max(0, denied_first - 3) : denied_first])
    return carrying and all(key in _OR | _AND for key in between)
