"""What a gesture in the layers of marks means: which object, which sign, and which kind of mark."""
