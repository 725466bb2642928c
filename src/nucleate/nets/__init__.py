"""The networks, in plain torch; imports nothing of ours."""
