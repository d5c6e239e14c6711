"""Attribute types: how each is read from cells and answers, found in texts, compared, written and
counted. Pure.
"""
