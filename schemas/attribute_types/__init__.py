"""Attribute types as templates, questions and tables know them; transforms.attribute_types holds
their other half, which reads, finds and compares values.
"""
