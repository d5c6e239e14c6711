"""Asking a language model: what is asked, how the dialogue runs, what becomes of an answer, what it
may cost.
"""
