"""Caches shared by all runs of an output: answers of language models, features of images."""
