"""What a text states: plain text, tokens, names of a list, quantities, identifiers, and the
evidence of each.
"""
