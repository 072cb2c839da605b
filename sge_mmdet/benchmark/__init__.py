"""Whether long use keeps more and more memory."""
