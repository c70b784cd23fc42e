"""How results look: numbers and colours of objects, switches; the keys that go with the dock, and its first use."""
