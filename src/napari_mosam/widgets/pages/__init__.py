"""The pages of the dock, behind tabs: marking and following, and what is asked of a result."""
