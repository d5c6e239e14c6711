"""transforms.extraction.money: prices as people write them, right or refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from babel import Locale
from babel.numbers import format_currency, format_decimal, get_currency_symbol
from hypothesis import given
from hypothesis import strategies as st

from schemas.currencies import currencies_of, decimals_of
from schemas.lexicons import lexicons
from transforms.extraction.money.amounts import Money, UnclearMoneyError, read_money
from transforms.extraction.money.mentions import find_money
from transforms.extraction.money.objects import read_money_object

# Currency → locales in which its prices are usually written.
USUAL = {
    "AED": ["ar_AE", "en_AE"],
    "ARS": ["es_AR"],
    "AUD": ["en_AU"],
    "BGN": ["bg_BG"],
    "BRL": ["pt_BR"],
    "CAD": ["en_CA", "fr_CA"],
    "CHF": ["de_CH", "fr_CH", "it_CH"],
    "CLP": ["es_CL"],
    "CNY": ["zh_CN"],
    "COP": ["es_CO"],
    "CZK": ["cs_CZ"],
    "DKK": ["da_DK"],
    "EGP": ["ar_EG"],
    "EUR": [
        "de_DE",
        "fr_FR",
        "es_ES",
        "it_IT",
        "nl_NL",
        "fi_FI",
        "en_IE",
        "de_AT",
        "el_GR",
        "pt_PT",
    ],
    "GBP": ["en_GB"],
    "HKD": ["zh_HK", "en_HK"],
    "HUF": ["hu_HU"],
    "IDR": ["id_ID"],
    "ILS": ["he_IL"],
    "INR": ["en_IN", "hi_IN", "mr_IN"],
    "IRR": ["fa_IR"],
    "ISK": ["is_IS"],
    "JPY": ["ja_JP"],
    "KRW": ["ko_KR"],
    "KWD": ["ar_KW"],
    "MXN": ["es_MX"],
    "MYR": ["ms_MY", "en_MY"],
    "NGN": ["en_NG"],
    "NOK": ["nb_NO"],
    "NZD": ["en_NZ"],
    "PEN": ["es_PE"],
    "PHP": ["fil_PH", "en_PH"],
    "PKR": ["ur_PK", "en_PK"],
    "PLN": ["pl_PL"],
    "RON": ["ro_RO"],
    "RUB": ["ru_RU"],
    "SAR": ["ar_SA"],
    "SEK": ["sv_SE"],
    "SGD": ["en_SG"],
    "THB": ["th_TH"],
    "TRY": ["tr_TR"],
    "TWD": ["zh_TW"],
    "UAH": ["uk_UA"],
    "USD": ["en_US", "es_US"],
    "VND": ["vi_VN"],
    "ZAR": ["en_ZA", "af_ZA"],
}


def read(text: str, *more: Any) -> tuple[str, str | None, set[str]] | None:
    """Return lowest and highest amount and the currencies."""
    money = read_money(text, *more)
    if money is None:
        return None
    highest = None if money.highest is None else str(money.highest)
    return str(money.amount), highest, set(money.currencies)


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("219.00 USD", "219.00", "USD"),
        ("USD 219", "219", "USD"),
        ("usd219.5", "219.5", "USD"),
        ("€ 12,90", "12.90", "EUR"),
        ("12,90 €", "12.90", "EUR"),
        ("12€90", "12.90", "EUR"),
        ("EUR12.90", "12.90", "EUR"),
        ("12,90 Euro", "12.90", "EUR"),
        ("1 299,00 zł", "1299.00", "PLN"),
        ("1\u00a0299,00\u00a0€", "1299.00", "EUR"),
        ("1\u202f299,00 €", "1299.00", "EUR"),
        ("CHF 1'299.–", "1299", "CHF"),
        ("Fr. 1’299.--", "1299", "CHF"),
        ("R$ 1.299,00", "1299.00", "BRL"),
        ("15,- Kč", "15", "CZK"),
        ("A$ 12.90", "12.90", "AUD"),
        ("US$12", "12", "USD"),
        ("US $12.90", "12.90", "USD"),
        ("$12.90 USD", "12.90", "USD"),
        ("C$1,299", "1299", "CAD"),
        ("HK$1,200.50", "1200.50", "HKD"),
        ("1,299.00 INR", "1299.00", "INR"),
        ("₹ 12,34,567.50", "1234567.50", "INR"),
        ("₹१,२९९", "1299", "INR"),
        ("١٬٢٩٩٫٥٠ د.إ.", "1299.50", "AED"),
        ("￥1,200 JPY", "1200", "JPY"),
        ("1.250 KWD", "1.250", "KWD"),
        ("1.299 ₫", "1299", "VND"),
        ("S/.12.90", "12.90", "PEN"),
        ("12.90 svenska kronor", "12.90", "SEK"),
        ("12,90 € inkl. MwSt.", "12.90", "EUR"),
        ("-12.90 €", "-12.90", "EUR"),
        ("€ −12.90", "-12.90", "EUR"),
        ("\u200f12.90 ₪\u200e", "12.90", "ILS"),
        ("1 299,90 ₽", "1299.90", "RUB"),
    ],
)
def test_prices_as_people_write_them(text: str, amount: str, currency: str) -> None:
    """Codes, signs, words and placements are read, with thousands and round amounts."""
    assert read(text) == (amount, None, {currency})


@pytest.mark.parametrize(
    ("text", "amount", "some"),
    [
        ("kr 199", "199", {"SEK", "NOK", "DKK", "ISK"}),
        ("199 kr.", "199", {"SEK", "NOK", "DKK", "ISK"}),
        ("$.99", "0.99", {"USD", "CAD", "AUD"}),
        ("¥1,200", "1200", {"JPY", "CNY"}),
        ("£5", "5", {"GBP", "EGP"}),
        ("Rs. 1,299/-", "1299", {"INR", "PKR"}),
        ("۱۲۹۹ ﷼", "1299", {"IRR", "SAR"}),
        ("20 dollars", "20", {"USD", "AUD"}),
        ("12,5 lei", "12.5", {"RON", "MDL"}),
    ],
)
def test_signs_of_several_currencies(text: str, amount: str, some: set[str]) -> None:
    """A sign that several currencies share names none of them, and the amount is read."""
    money = read_money(text)
    assert money is not None
    assert (str(money.amount), some <= money.currencies) == (amount, True)
    assert money.currency(None) is None
    assert {money.currency(code) for code in some} == some
    assert money.currency("CHF") is None


@pytest.mark.parametrize(
    ("text", "mark", "default", "amount"),
    [
        ("1.299", ",", None, "1299"),
        ("1.299", ".", None, "1.299"),
        ("1.299 EUR", ",", None, "1299"),
        ("1,299", ",", None, "1.299"),
        ("1.299", None, "JPY", "1299"),
        ("1.250", None, "KWD", "1.250"),
        ("1,299", None, "USD", "1299"),
        ("1.299:-", None, "SEK", "1299"),
        ("1.299,00", ".", None, "1299.00"),
        ("1.2999", None, None, "1.2999"),
        ("0.299", None, None, "0.299"),
    ],
)
def test_what_decides_a_mark(text: str, mark: Any, default: str | None, amount: str) -> None:
    """The column decides what a mark before three digits is, then the currency's decimals."""
    assert read(text, mark, default) == (amount, None, {"EUR"} if "EUR" in text else set())


@pytest.mark.parametrize("text", ["1.299", "1.299 EUR", "$1.299", "1,250 KWD", "1.299 ¥"])
def test_what_reads_two_ways_is_refused(text: str) -> None:
    """An amount that may be a thousand times another is not guessed."""
    with pytest.raises(UnclearMoneyError, match=r"may be 1.2.. or 12.."):
        read_money(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12-13", ("12", "13", set())),
        ("€12 – €15", ("12", "15", {"EUR"})),
        ("12 € bis 15 €", ("12", "15", {"EUR"})),
        ("12.- - 15.- CHF", ("12", "15", {"CHF"})),
        ("A$12 - A$15", ("12", "15", {"AUD"})),
        ("12 - 12 EUR", ("12", None, {"EUR"})),
        ("1.299,00 ~ 1.499,00 €", ("1299.00", "1499.00", {"EUR"})),
    ],
)
def test_ranges_stay_ranges(text: str, expected: Any) -> None:
    """Both ends of a range are kept, in one currency."""
    assert read(text) == expected


@pytest.mark.parametrize("text", ["from 12.50", "ab 12,50", "à partir de 12,50", "12.50+"])
def test_a_lowest_price_is_told(text: str) -> None:
    """The start of a range is no single price."""
    money = read_money(text)
    assert money == Money(Decimal("12.50"), None, True)


def test_nothing_to_pay() -> None:
    """Words for free are an amount of zero, in whatever currency."""
    assert [read(word) for word in ("Free", "kostenlos", "GRATIS", "gratuit")] == [
        ("0", None, set())
    ] * 4


@pytest.mark.parametrize(
    "text",
    [
        *("12 €/kg", "12 EUR per kg", "was 20 now 15", "12.90 / 14.50", "12.90-", "1e5", "$1.2M"),
        *("4.99¢", "USD", "12 apples", "", "3-Feb", "2 x 12 €", "10 % off", "1.2.3", "12 50 €"),
        *("12.90 EUR 14.20", "on request", "12,34,5", "1.29.900", "x" * 500, "12 €*", "5 kg"),
    ],
)
def test_what_is_no_single_price(text: str) -> None:
    """Rates, offers, several prices and other things are not read as a price."""
    assert read_money(text) is None


@pytest.mark.parametrize("text", ["12 EUR USD", "€12 - $15", "US$ 12 CAD", "20-15 EUR"])
def test_contradictions_are_refused(text: str) -> None:
    """Two currencies, or a range that falls, are told."""
    with pytest.raises(UnclearMoneyError):
        read_money(text)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"@currency": "EUR", "#text": "12.90"}, ("12.90", None, {"EUR"})),
        ({"value": 12.9, "currency": "EUR"}, ("12.9", None, {"EUR"})),
        ({"amount": "12.90", "currencyCode": "usd"}, ("12.90", None, {"USD"})),
        ({"price": 1.299, "priceCurrency": "EUR"}, ("1.299", None, {"EUR"})),
        ({"amount_cents": 1290, "currency": "EUR"}, ("12.90", None, {"EUR"})),
        ({"amount_cents": 1290, "currency": "JPY"}, ("1290", None, {"JPY"})),
        ({"centAmount": 1290, "currencyCode": "KWD"}, ("1.290", None, {"KWD"})),
        (
            {"centAmount": 1290, "currencyCode": "EUR", "fractionDigits": 2},
            ("12.90", None, {"EUR"}),
        ),
        ({"min": 12, "max": "15.5", "currency": "EUR"}, ("12", "15.5", {"EUR"})),
        ({"value": "12,90 €"}, ("12.90", None, {"EUR"})),
        ({"value": 12, "currency": "kr", "x": 1}, ("12", None, {"SEK", "NOK", "DKK", "ISK"})),
        ({"minPrice": {"amount": "5.0", "currencyCode": "EUR"}, "maxPrice": {"amount": "9"}}, None),
    ],
)
def test_objects(given: dict[str, Any], expected: Any) -> None:
    """Amount and currency are read from the keys that shops use; cents only where a key says so."""
    money = read_money_object(given)
    if expected is None:
        assert money == Money(Decimal("5.0"), Decimal(9), False, frozenset({"EUR"}))
        return
    assert money is not None
    top = None if money.highest is None else str(money.highest)
    assert (str(money.amount), top, set(money.currencies)) == expected


@pytest.mark.parametrize(
    "given", [{"x": 1}, {"value": True}, {"value": "?"}, {"value": 1, "currency": "parsnip"}, {}]
)
def test_other_objects(given: dict[str, Any]) -> None:
    """An object without an amount, or with another currency than there is, is no price."""
    assert read_money_object(given) is None


def test_cents_need_their_currency() -> None:
    """How much 1290 cents are depends on the currency."""
    with pytest.raises(UnclearMoneyError, match="cents"):
        read_money_object({"amount_cents": 1290})


def test_prices_in_texts() -> None:
    """In a text a price needs a currency, and has to be the only one."""
    for text in ("12.90 EUR, in white", "€12.90.", "USD 12.90 (new)", "12,90 € each"):
        mention = find_money(text, 0)
        assert mention is not None
        assert mention.money.amount == Decimal("12.90")
    for text in ("12.90", "12 EUR - 15 EUR", "$12", "12 EUR per kg", "12 EUR/kg", "12 pieces"):
        assert find_money(text, 0) is None


def test_signs_of_the_cldr_are_known() -> None:
    """Every sign that the CLDR has for these currencies where they are used may mean them."""
    missing = [
        (code, locale, sign)
        for code, locales in USUAL.items()
        for locale in locales
        if code not in currencies_of(sign := get_currency_symbol(code, locale))
    ]
    assert missing == []


@given(
    st.sampled_from([(code, locale) for code, locales in USUAL.items() for locale in locales]),
    st.integers(1, 99_999_999),
    st.booleans(),
    st.sampled_from(["standard", "name", "code"]),
)
def test_usual_writing_comes_back(
    place: tuple[str, str], cents: int, is_round: bool, form: str
) -> None:
    """A price of any of 46 currencies in the writing of its countries is read back to the same
    amount, or refused; never another amount, and never another currency.
    """
    code, locale = place
    amount = Decimal(cents).scaleb(-decimals_of(code))
    if is_round:
        amount = amount.to_integral_value()
    if form == "code":
        number = format_decimal(amount, locale=locale)
        written = f"{number} {code}"
    else:
        written = format_currency(
            amount, code, locale=locale, format_type=form, currency_digits=not is_round
        )
    try:
        money = read_money(written)
    except UnclearMoneyError:
        return
    if money is None:
        # Names of currencies are known in the languages that have a lexicon.
        assert form == "name"
        assert Locale.parse(locale).language not in lexicons()
        return
    assert money.amount == amount
    assert money.currency(code) == code
