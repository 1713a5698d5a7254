"""What the guests are asked to do: an actor for each VM, and the programs that it follows."""
