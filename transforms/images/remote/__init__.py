"""Pictures of http and https addresses: which may be asked, and how they are fetched and kept."""
