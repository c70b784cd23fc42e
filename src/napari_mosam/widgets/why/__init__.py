"""The page that tells why an object has its mask on a frame: memory, motion, and SAM 2's memory beside MoSAM's."""
