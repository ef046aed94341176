"""A candidate bundle looks at the frames that the active one screens, and changes no result."""
