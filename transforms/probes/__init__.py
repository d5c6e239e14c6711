"""Probes: small calibrated models of single attributes, trained on the catalog's own rows that have
the value.
"""
