"""Whether a text that was decoded reads as people write."""

import pytest

from transforms.readers.clues.plausible import odd_share


@pytest.mark.parametrize(
    "text",
    [
        "Löffel groß, ÄRMEL, Crème brûlée, L’Oréal, Øre–Åre, naïve",
        "When Dracula—obsessed—comes…then, 2×3, A·B, Acme™s, 5°C",
        "5 €, 20 °C, ½ l, Marke™, “quoted”, 2 × 3",
        "Ложка жёлтая, USB-кабель, ВАЗ",
        "Κίτρινο κουτάλι",
        "iPhone手机壳, コーヒーカップ",
        "스테인리스 주전자",
        "שָׁלוֹם, ไม้",
        "plain",
    ],
)
def test_what_people_write(text):
    """Words, signs and mixtures as people write them are not odd."""
    assert odd_share(text) == 0


@pytest.mark.parametrize(
    "text", ["LÜffel", "Gr§áe", "c½ur", "5 А", "cдur", "a█b", "5 ¤", "x\x9fy", "aׁb"]
)
def test_what_nobody_writes(text):
    """Capitals within words, signs between letters, single letters of another alphabet, boxes and
    control characters are odd.
    """
    assert odd_share(text) > 0.4
