"""Masks of marked objects before anything is followed: what is asked, what is known, and the layer that shows it."""
