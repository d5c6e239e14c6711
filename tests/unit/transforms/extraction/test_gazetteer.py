"""transforms.extraction.gazetteer, transforms.extraction.tokens and transforms.extraction.negation."""

from __future__ import annotations

import itertools

import pytest
import typeguard
from hypothesis import given
from hypothesis import strategies as st

from schemas.choices import Choice
from transforms.extraction.gazetteer import Gazetteer
from transforms.extraction.tokens import number_forms, tokenise


def gazetteer(*choices: str | tuple[str, ...], leaf_only: bool = False) -> Gazetteer:
    entries = [(choice,) if isinstance(choice, str) else choice for choice in choices]
    return Gazetteer.build(
        [Choice(value=e[0], synonyms=e[1:]) for e in entries], leaf_only=leaf_only
    )


NECKS = gazetteer("V-Neck", ("Crew Neck", "round neck"), ("Hooded", "hood"))
SIZES = gazetteer("S", "M", "XL", "42", "US", "Red", "Blue", "Navy Blue")
FOOD = gazetteer(
    "Food > Drinks > Milk",
    "Beauty > Cleansers > Milk",
    ("Food > Drinks > Oat Milk", "hafermilch"),
    "Food > Fruit",
    "Food > Fruit > Apple",
    "Food > Salt & Pepper",
    leaf_only=True,
)


def asserted(found: Gazetteer, text: str) -> list[str]:
    return [mention.value for mention in found.find(text) if not mention.negated]


def denied(found: Gazetteer, text: str) -> list[str]:
    return [mention.value for mention in found.find(text) if mention.negated]


@pytest.mark.parametrize("text", ["a v neck tee", "V-NECKS", "V‑neck", "v&neck"])
def test_spelling(text: str) -> None:
    """Case, plural, hyphens and ampersands do not matter."""
    assert asserted(NECKS, text) == ["V-Neck"]


def test_apostrophes() -> None:
    """Neither an apostrophe inside a name nor a possessive matters."""
    names = gazetteer("O'Neill", "Rock 'n' Roll", "Women")
    assert asserted(names, "ONeill, O’Neill, rock n roll, women's, womens") == [
        *["O'Neill"] * 2,
        "Rock 'n' Roll",
        *["Women"] * 2,
    ]


@pytest.mark.parametrize(
    "text", ["V. Neck", "V, neck", "V\nneck", "V - neck", "V (neck)", "V/neck", "vneckline", "neck"]
)
def test_punctuation_and_word_borders(text: str) -> None:
    """A name reaches neither across punctuation nor into a longer word."""
    assert NECKS.find(text) == []


def test_longest_name_wins_without_overlap() -> None:
    """`Navy Blue` is not also `Blue`, and several mentions come in order of place."""
    mentions = SIZES.find("Red shirt, navy-blue collar, blue cuffs")
    assert [(m.value, m.text) for m in mentions] == [
        ("Red", "Red"),
        ("Navy Blue", "navy-blue"),
        ("Blue", "blue"),
    ]


def test_offsets_count_code_points() -> None:
    """The offsets cut the matched text out, also behind signs outside the basic plane."""
    text = "👕 İstanbul ß – red"
    [mention] = SIZES.find(text)
    assert text[mention.begin : mention.end] == mention.text == "red"


def test_synonyms_are_marked() -> None:
    """A mention says whether the value's own name or a synonym was read."""
    assert [(m.value, m.synonym) for m in NECKS.find("round neck or crew neck")] == [
        ("Crew Neck", True),
        ("Crew Neck", False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "without hood",
        "no hood",
        "no detachable hood",
        "does not have a hood",
        "isn't hooded",
        "non-hooded",
        "un-hooded",
        "hood-free",
        "hood free",
        "free of any hood",
        "free from hoods",
        "faux hood",
        "hood not included",
        "ohne Hood",
        "utan hood",
        "inte äkta hood",
        "nicht aus Hood",
        "kein Hood",
        "inget hood",
        "fri från hood",
        "frei von Hood",
        "hood-fri",
        "varken hood",
        "weder Hood",
        "saknar hood",
        "hood ingår ej",
        "Hood nicht enthalten",
        "0 % hood",
        "hood not added",
    ],
)
def test_denied(text: str) -> None:
    """A value that the text denies is a negated mention."""
    assert (asserted(NECKS, text), denied(NECKS, text)) == ([], ["Hooded"])


@pytest.mark.parametrize(
    "text",
    [
        "hood with free shipping",
        "hood, free shipping",
        "not only a hood",
        "no zip. Hood",
        "without lining but with hood",
        "no 5 hood",
        "never boring, hood",
        "hood free shipping",
        "nicht nur Hood",
        "inte bara hood",
        "inte kort utan hood",
        "hood, fri frakt",
        "100 % hood",
    ],
)
def test_not_denied(text: str) -> None:
    """A denial ends with its clause, and one of something else does not count."""
    assert asserted(NECKS, text) == ["Hooded"]


def test_denial_is_carried_along_an_enumeration() -> None:
    """`No nuts, milk or eggs` denies all three; `without` also carries over `and`."""
    allergens = gazetteer("nut", "milk", "egg")
    assert denied(allergens, "contains no nuts, milk or eggs") == ["nut", "milk", "egg"]
    assert denied(allergens, "without nuts and milk") == ["nut", "milk"]
    assert asserted(allergens, "no nuts, fresh milk") == ["milk"]


def test_short_names_need_their_own_case() -> None:
    """`US` is not `us`, and a single letter stands alone: no possessive, unit, initial or part of a
    name.
    """
    assert asserted(SIZES, "Polo, M") == asserted(SIZES, "Polo (M)") == ["M"]
    for text in ["men's", "6 M", "H&M", "S-Class", "M. Smith", "give us", "m", "xl"]:
        assert SIZES.find(text) == [], text
    assert asserted(SIZES, "made in US, XL") == ["US", "XL"]


def test_names_for_cells_only() -> None:
    """What is kept to cells is no name in a text, be it the value itself or written without spaces;
    a cell may hold it.
    """
    choices = [
        Choice(value="it", synonyms=("Italian",), cell_only=("it", "意大利语")),
        Choice(value="Blue"),
    ]
    words = Gazetteer.build(choices, leaf_only=False)
    assert asserted(words, "it is an Italian blue 意大利语") == ["it", "Blue"]
    assert [words.exact(text) for text in ("IT", "意大利语", "Italian")] == ["it"] * 3


def test_digits_alone_are_for_cells() -> None:
    """A size such as 42 is not read out of running text, but a cell that holds it is understood."""
    assert SIZES.find("42 megapixels") == []
    assert SIZES.exact("42") == "42"


def test_spelling_decides_between_forms() -> None:
    """Where singular and plural are two values, each word means its own; C++ is not C."""
    words = gazetteer("Glass", "Glasses", "Men", "Man", "C", "C++")
    assert asserted(words, "glasses of glass, man, men's") == ["Glasses", "Glass", "Man", "Men"]
    assert asserted(words, "C++ course") == ["C++"]
    assert [words.exact(text) for text in ("GLASS", "glasses", "c++", "c")] == [
        "Glass",
        "Glasses",
        "C++",
        "C",
    ]


def test_category_is_named_by_its_leaf() -> None:
    """The last step of the path and synonyms are looked for; the longest wins."""
    assert asserted(FOOD, "Oat milk 1 l") == ["Food > Drinks > Oat Milk"]
    assert asserted(FOOD, "Hafermilch") == ["Food > Drinks > Oat Milk"]
    assert (
        asserted(FOOD, "salt and pepper")
        == asserted(FOOD, "Salt & Peppers")
        == ["Food > Salt & Pepper"]
    )


def test_shared_leaf() -> None:
    """A leaf of two paths gives both, unless the text names another step of just one of them."""
    both = ["Beauty > Cleansers > Milk", "Food > Drinks > Milk"]
    assert asserted(FOOD, "Milk 200 ml") == both
    assert asserted(FOOD, "Cleanser: rose milk") == ["Beauty > Cleansers > Milk"]
    assert asserted(FOOD, "drink or cleanser: milk") == both


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("food > drinks > milk", "Food > Drinks > Milk"),
        ("Drinks > Milk", "Food > Drinks > Milk"),
        ("Fruit>apples", "Food > Fruit > Apple"),
        ("oat milks", "Food > Drinks > Oat Milk"),
        (" APPLE ", "Food > Fruit > Apple"),
        ("Milk", None),
        ("Apple juice", None),
        ("", None),
        (">", None),
    ],
)
def test_exact_category(text: str, value: str | None) -> None:
    """A cell may hold the path, its last steps or a synonym; what is ambiguous or longer is no
    value.
    """
    assert FOOD.exact(text) == value


def test_scripts_without_spaces() -> None:
    """A Chinese or Japanese name of two signs or more is found inside a run; a single sign is not."""
    words = gazetteer("牛奶", "红", ("巧克力", "チョコレート"))
    assert asserted(words, "有机牛奶巧克力") == ["牛奶", "巧克力"]
    assert asserted(words, "ミルクチョコレート") == ["巧克力"]
    assert (words.find("红茶"), asserted(words, "红")) == ([], ["红"])
    assert denied(words, "不含牛奶") == ["牛奶"]


def test_combining_signs_belong_to_the_word() -> None:
    """A vowel sign or a combining accent does not split a word."""
    assert tokenise("लाल cafe\u0301").keys == ("लाल", "café")


@pytest.mark.parametrize(
    ("singular", "plural"),
    [
        ("sleeve", "sleeves"),
        ("hoodie", "hoodies"),
        ("slice", "slices"),
        ("leaf", "leaves"),
        ("lens", "lenses"),
        ("dress", "dresses"),
        ("tomato", "tomatoes"),
        ("woman", "women"),
        ("foot", "feet"),
        ("berry", "berries"),
        ("tie", "ties"),
        ("axe", "axes"),
    ],
)
def test_plural_and_singular(singular: str, plural: str) -> None:
    """Each form of a product word leads to the other."""
    assert plural in number_forms(singular)
    assert singular in number_forms(plural)


@pytest.mark.parametrize(
    ("word", "other"), [("news", "new"), ("gas", "ga"), ("her", "their"), ("glass", "glas")]
)
def test_no_false_forms(word: str, other: str) -> None:
    """A word in -s is not cut to another word, and a pronoun has no forms."""
    assert other not in number_forms(word)


@given(
    st.lists(
        st.sampled_from(
            ["red", "V-Neck", "no", "without", ",", ".", "milk", "Blue", "-", "ß", "free", "红"]
        )
    )
)
def test_mentions_fit_the_text(parts: list[str]) -> None:
    """Every mention cuts its text out, in order of place and without overlap."""
    text = " ".join(parts)
    mentions = gazetteer("Red", "Blue", "V-Neck", "Milk", "红").find(text)
    assert all(text[m.begin : m.end] == m.text for m in mentions)
    assert all(before.end <= after.begin for before, after in itertools.pairwise(mentions))


@given(st.text())
def test_any_text_can_be_searched(text: str) -> None:
    """Whatever a text holds, looking a list up in it does not fail, and a whole-cell hit is in the
    list.
    """
    FOOD.find(text)
    SIZES.find(text)
    assert SIZES.exact(text) in {None, "S", "M", "XL", "42", "US", "Red", "Blue", "Navy Blue"}


@given(st.text(min_size=1, max_size=20).filter(str.strip))
def test_every_value_is_its_own_cell(value: str) -> None:
    """A cell that holds a value of the list, whatever it is, is that value."""
    assert gazetteer(value, "something else entirely").exact(value.swapcase()) in (value, None)
    assert gazetteer(value).exact(value) == value


def test_a_whole_path_is_meant_itself() -> None:
    """A path of one step is found though another path ends with that step; the step alone names no
    other then.
    """
    choices = [
        Choice(value="vehicles"),
        Choice(value="military > vehicles"),
        Choice(value="vehicles > cars"),
    ]
    gazetteer = Gazetteer.build(choices, leaf_only=True)
    assert gazetteer.exact("Vehicles") == "vehicles"
    assert gazetteer.exact("military > vehicles") == "military > vehicles"
    assert gazetteer.exact("cars") == "vehicles > cars"


def test_other_users_of_type_checks_keep_them():
    """Forms are made by a library that is imported without its type checks; whoever else asks for
    such checks has them.
    """
    assert number_forms("leaf") == {"leaf", "leaves"}

    @typeguard.typechecked
    def double(number: int) -> int:
        return 2 * number

    with pytest.raises(typeguard.TypeCheckError):
        double("2")
