"""What lists and elements are called that hold the records of a catalog, and what those are that
hold something else: facets, categories, pictures of one product.
"""

from __future__ import annotations

import re
from functools import lru_cache

# In the singular, in the languages in which feeds are written.
_RECORDS = frozenset(
    re.findall(
        r"\S+",
        """
        product item offer article entry record row result doc document hit sku good listing edge
        node element member shopitem productitem stockitem asset artikel produkt position produit
        producto articulo artículo prodotto articolo tovar товар
        """,
    )
)
# What may be called so is a list of records, no record.
_LISTS = frozenset(
    re.findall(
        r"\S+",
        """
        data list value catalog catalogue inventory object productlist entries produkte prodotti
        articoli товары
        """,
    )
)
_PARTS = frozenset(
    re.findall(
        r"\S+",
        """
        facet filter aggregation bucket category categories categorie kategorie kategorien categoria
        field column schema attribute option breadcrumb sort sorting error warning link pagination
        brand marke marken manufacturer hersteller store shop currency currencies language tag
        collection vendor supplier lieferant image picture photo bild bilder foto img media file
        video meta metadata parameter param property properties spec specification feature merkmal
        suggestion group gruppe gruppen tax shipping delivery deliveries price preis preise variant
        variation variante varianten size color colour review rating question relation stock
        warehouse unit installment discount promotion translation user author customer header
        country countries region locale detail description url thumbnail gallery accessory
        accessories page
        """,
    )
)


def names_record(name: str) -> bool:
    """Return whether something is called as one record of a catalog is.

    >>> names_record("Product"), names_record("g:item"), names_record("products")
    (True, True, False)
    """
    return _bare(name) in _RECORDS


def names_list(name: str) -> bool:
    """Return whether something is called as a list of records is.

    >>> names_list("Products"), names_list("data"), names_list("facets")
    (True, True, False)
    """
    return not (_RECORDS | _LISTS).isdisjoint(_forms(name))


def names_parts(name: str) -> bool:
    """Return whether something is called as parts of a record are, or what describes a catalog.

    >>> names_parts("facets"), names_parts("Images"), names_parts("books")
    (True, True, False)
    """
    return not _PARTS.isdisjoint(_forms(name))


@lru_cache(maxsize=4_096)
def _forms(name: str) -> frozenset[str]:
    """Return a name as it is and without the s of a plural."""
    return frozenset((_bare(name), _bare(name).removesuffix("s")))


def _bare(name: str) -> str:
    """Return a name without its prefix, signs and case."""
    return re.sub(r"[\W_]", "", name.rpartition(":")[2]).casefold()
