"""The repository of updates: who may sign what, what is offered, and how it is published."""
