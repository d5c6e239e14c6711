"""What calls of one server have in common: pace, patience, the server's place, the first tries."""
