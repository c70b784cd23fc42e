"""One pass over a batch of clips: prompts, decoding, memory and loss."""
