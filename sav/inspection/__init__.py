"""What a vehicle's parts say together: the side seen, what is not seen, and where damage lies."""
