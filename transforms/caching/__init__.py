"""Kept from run to run: answers of language models and features of images."""
