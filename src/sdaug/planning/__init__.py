"""What settings will cost on a machine that need not be here: time and memory, predicted by counting."""
