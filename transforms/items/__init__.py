"""The item: put together from records and images, its texts and what they state, its
fingerprint, what is masked in it.
"""
