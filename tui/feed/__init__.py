"""The feed: one thread that reads the results folder and tells the screen what is different."""
