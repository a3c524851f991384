"""What can be recovered of a network's input from what a layer of it gives: verdicts, guesses, and what is proved."""
