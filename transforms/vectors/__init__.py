"""What vectors are: the contract beside each vector table, and the canaries that prove it."""
