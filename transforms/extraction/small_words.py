"""Words of all lexicons that stand around numbers and names, as patterns for regular expressions.

Each matches one of the words in lower case; expressions that use them ignore case. Where one may be
the end or the beginning of a longer word, the expression says what stands beside it.
"""

from __future__ import annotations

from schemas.lexicons import every, one_of

AND = one_of(every(lambda words: words.and_))
OR = one_of(every(lambda words: words.or_))
TO = one_of(every(lambda words: words.to))
BY = one_of(every(lambda words: words.by))
PER = one_of(every(lambda words: words.per))
BOUND = one_of(every(lambda words: words.bounds))
APPROXIMATELY = rf"{one_of(every(lambda words: words.approximately), dots=False)}\b\.?"
