"""Sections of a template that are models of their own."""
