"""Which records count and which may be compared, as values with their intervals."""
