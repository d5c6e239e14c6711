"""What model servers accept: the table of known ones, and what is learnt of one by its answers."""
