"""What is done to a network before its frozen part runs: unrolled, split, folded, computed in less precision."""
