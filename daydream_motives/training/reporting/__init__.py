"""One page per model: what it learnt from, how it learnt, what it is worth."""
