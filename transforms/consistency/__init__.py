"""Values that contradict their own item, other items, or the rest of the catalog."""
