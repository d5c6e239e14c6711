"""The graph of the main job: read → images → (learn) → (describe) → fill → validate → text →
embed → write.
"""
