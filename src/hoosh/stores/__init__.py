"""Where state lives, behind the ports."""
