"""Drafting a template from a raw catalog: what its columns hold, what that means, and the YAML that
says so.
"""
