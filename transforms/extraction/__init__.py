"""What a cell holds and what a text states: entries, plain text, tokens, names of a list,
quantities, identifiers.
"""
