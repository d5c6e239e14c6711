"""The item: put together from records and images, its texts, its fingerprint, what is
masked in it.
"""
