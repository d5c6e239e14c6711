"""How good the filled values are: decisions on held-back rows, metrics over them, comparison and
report.
"""
