"""From raw records to typed values: cells, numbers, dates, and the item they belong to."""
