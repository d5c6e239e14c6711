"""What an evaluation runs on, what each fold hides, and what is true."""
